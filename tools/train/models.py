"""The configurations of scenes-dit, and a denoiser forward that trains quickly on a CPU.

The parameters live in the classes of diffusers and transformers; `denoise` computes what
PixArtTransformer2DModel.forward computes, with fewer and larger operations.
"""
import torch
import torch.nn.functional as F
from diffusers import PixArtTransformer2DModel
from transformers import T5Config, T5EncoderModel

MAX_TOKENS = 40
WIDTH, HEADS, DEPTH = 192, 6, 8
TEXT_WIDTH = 128
LATENT_CHANNELS, LATENT_SIZE, PATCH = 8, 32, 4


# Of T5 for pictures, and of UMT5 for clips.
TEXT = dict(
    d_model=TEXT_WIDTH, d_kv=32, num_heads=4, d_ff=256, num_layers=3, num_decoder_layers=3,
    relative_attention_num_buckets=32, relative_attention_max_distance=128, dropout_rate=0.0,
    layer_norm_epsilon=1e-6, feed_forward_proj="gated-gelu", is_encoder_decoder=False,
    use_cache=False, pad_token_id=0, eos_token_id=1, tie_word_embeddings=False)


def text_encoder(vocab):
    return T5EncoderModel(T5Config(vocab_size=vocab, **TEXT))


def transformer():
    return PixArtTransformer2DModel(
        num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS,
        in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS, num_layers=DEPTH,
        cross_attention_dim=WIDTH, attention_bias=True, sample_size=LATENT_SIZE, patch_size=PATCH,
        activation_fn="gelu-approximate", norm_type="ada_norm_single",
        norm_elementwise_affine=False, norm_eps=1e-6, interpolation_scale=1.0,
        use_additional_conditions=False, caption_channels=TEXT_WIDTH)


def initialize(model):
    """Cross-attention outputs and the last layer start at zero, the rest as is usual for DiT."""
    for name, p in model.named_parameters():
        if p.dim() >= 2 and "table" not in name:
            torch.nn.init.xavier_uniform_(p.data.view(p.shape[0], -1))
        elif p.dim() == 1:
            torch.nn.init.zeros_(p)
    for block in model.transformer_blocks:
        torch.nn.init.zeros_(block.attn2.to_out[0].weight)
    torch.nn.init.zeros_(model.proj_out.weight)
    torch.nn.init.normal_(model.adaln_single.emb.timestep_embedder.linear_1.weight, std=0.02)
    torch.nn.init.normal_(model.adaln_single.emb.timestep_embedder.linear_2.weight, std=0.02)
    torch.nn.init.normal_(model.adaln_single.linear.weight, std=0.02)


def initialize_reading(model):
    """Starts anew only what reads the text, for another text encoder."""
    for layer in (model.caption_projection.linear_1, model.caption_projection.linear_2):
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    for block in model.transformer_blocks:
        for layer in (block.attn2.to_k, block.attn2.to_v):
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        torch.nn.init.zeros_(block.attn2.to_out[0].weight)


def sinusoid(t):
    """t: [B] in 0..1000; [B, 256], cosines first."""
    freq = torch.exp(-torch.log(torch.tensor(10000.0)) * torch.arange(128) / 128)
    angle = t.float()[:, None] * freq
    return torch.cat([angle.cos(), angle.sin()], -1)


def split_heads(x):
    """[B, T, C] to [B, heads, T, C / heads]."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def attention(q, k, v, bias=None):
    """Plain products: on a CPU their backward pass is several times faster than the fused one's."""
    scores = q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    return (scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).flatten(2)


def modulated(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def run_block(block, x, context, bias, t6):
    table = block.scale_shift_table[None] + t6
    shift1, scale1, gate1, shift2, scale2, gate2 = table.to(x.dtype).chunk(6, dim=1)
    a, c, (up, down) = block.attn1, block.attn2, (block.ff.net[0].proj, block.ff.net[2])
    h = modulated(x, shift1, scale1)
    weight = torch.cat([a.to_q.weight, a.to_k.weight, a.to_v.weight])
    bias_qkv = torch.cat([a.to_q.bias, a.to_k.bias, a.to_v.bias])
    q, k, v = F.linear(h, weight, bias_qkv).chunk(3, dim=-1)
    x = x + gate1 * a.to_out[0](attention(split_heads(q), split_heads(k), split_heads(v)))
    weight = torch.cat([c.to_k.weight, c.to_v.weight])
    k, v = F.linear(context, weight, torch.cat([c.to_k.bias, c.to_v.bias])).chunk(2, dim=-1)
    x = x + c.to_out[0](attention(split_heads(c.to_q(x)), split_heads(k), split_heads(v), bias))
    return x + gate2 * down(F.gelu(up(modulated(x, shift2, scale2)), approximate="tanh"))


def denoise(model, latent, t, text, mask, tap=None):
    """latent [B, 8, 32, 32], t [B] in 0..1, text [B, L, 128], mask [B, L] -> velocity.

    With `tap`, (velocity, tokens [B, 64, 192] after that many blocks); several taps, several tokens.
    """
    b, ch, height, width = latent.shape
    p, n = PATCH, height // PATCH
    kind = latent.device.type
    low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    patches = latent.view(b, ch, n, p, n, p).permute(0, 2, 4, 1, 3, 5).reshape(b, n * n, -1)
    proj = model.pos_embed.proj
    x = F.linear(patches, proj.weight.flatten(1), proj.bias)
    x = x.float() + model.pos_embed.pos_embed # the residual stream stays in f32
    emb = model.adaln_single.emb.timestep_embedder
    te = emb.linear_2(F.silu(emb.linear_1(sinusoid(t * 1000))))
    t6 = model.adaln_single.linear(F.silu(te)).view(b, 6, -1)
    cp = model.caption_projection
    context = cp.linear_2(F.gelu(cp.linear_1(text), approximate="tanh"))
    bias = ((1 - mask) * -10000.0).to(low)[:, None, None, :].expand(b, 1, n * n, -1)
    tapped = []
    for i, block in enumerate(model.transformer_blocks):
        x = run_block(block, x, context, bias, t6)
        if i + 1 in (tap if isinstance(tap, tuple) else (tap,)):
            tapped.append(x)
    shift, scale = (model.scale_shift_table[None] + te[:, None]).chunk(2, dim=1)
    y = model.proj_out(modulated(x.float(), shift, scale)).float()
    y = y.view(b, n, n, p, p, ch).permute(0, 5, 1, 3, 2, 4)
    y = y.reshape(b, ch, height, width)
    return y if tap is None else (y, tapped if isinstance(tap, tuple) else tapped[0])
