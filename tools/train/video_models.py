"""The configurations of scenes-video, and forwards that train quickly on a CPU.

The parameters live in the classes of diffusers and transformers. `encode` and `decode` compute what
AutoencoderKLWan computes chunk by chunk, over whole clips at once; `denoise` computes what
WanTransformer3DModel.forward computes, with fewer and larger operations.
"""
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

import models

MAX_TOKENS = 32
WIDTH, HEADS, DEPTH = 192, 6, 8
TEXT_WIDTH = models.TEXT_WIDTH
LATENT_CHANNELS, LATENT_FRAMES, LATENT_SIZE = 16, 5, 8
GRID = (LATENT_FRAMES, LATENT_SIZE // 2, LATENT_SIZE // 2) # of tokens


def autoencoder():
    return AutoencoderKLWan(
        base_dim=16, z_dim=LATENT_CHANNELS, dim_mult=[1, 1, 2, 4], num_res_blocks=1, attn_scales=[],
        temperal_downsample=[False, True, True], latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS)


def text_encoder(vocab):
    return UMT5EncoderModel(UMT5Config(vocab_size=vocab, **models.TEXT))


def transformer():
    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS,
        in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS, text_dim=TEXT_WIDTH, freq_dim=256,
        ffn_dim=4 * WIDTH, num_layers=DEPTH, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        eps=1e-6, rope_max_seq_len=64)


# ---- The autoencoder, over whole clips.

torch._dynamo.config.recompile_limit = 64 # one loop per shape


@torch.compile(dynamic=False)
def norm_silu(x, gamma):
    """RMS norm over the channels and SiLU, as one loop."""
    length = x.float().square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
    return F.silu(x.float() / length * x.shape[1] ** 0.5 * gamma).to(x.dtype)


def residual(block, x):
    h = block.conv1(norm_silu(x, block.norm1.gamma))
    return block.conv_shortcut(x) + block.conv2(norm_silu(h, block.norm2.gamma))


def middle(block, x):
    x = residual(block.resnets[0], x)
    return residual(block.resnets[1], block.attentions[0](x))


def flat(layer, x):
    """A layer for pictures on every frame of [B, C, F, H, W]."""
    b, _, f = x.shape[:3]
    return layer(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (b, f)).transpose(1, 2)


def shrink(layer, x):
    """Half the size; with time_conv, also (F + 1) / 2 frames, of which the first stays as it is."""
    x = flat(layer.resample, x)
    if layer.mode == "downsample3d":
        x = torch.cat([x[:, :, :1], layer.time_conv(x)], 2)
    return x


def enlarge(layer, x):
    """Twice the size; with time_conv, also 2 F - 1 frames: all but the first become two."""
    if layer.mode == "upsample3d" and x.shape[2] > 1:
        y = layer.time_conv(x[:, :, 1:]).unflatten(1, (2, -1))
        x = torch.cat([x[:, :, :1], torch.stack([y[:, 0], y[:, 1]], 3).flatten(2, 3)], 2)
    return flat(layer.resample, x)


def encode(vae, x):
    """[B, 3, 4 k + 1, H, W] to the latents' mean and log variance, [B, 16, k + 1, H / 8, W / 8]."""
    e = vae.encoder
    x = e.conv_in(x)
    for layer in e.down_blocks:
        x = shrink(layer, x) if hasattr(layer, "resample") else residual(layer, x)
    x = e.conv_out(norm_silu(middle(e.mid_block, x), e.norm_out.gamma))
    return vae.quant_conv(x).float().chunk(2, dim=1)


def decode(vae, z):
    d = vae.decoder
    x = middle(d.mid_block, d.conv_in(vae.post_quant_conv(z)))
    for block in d.up_blocks:
        for layer in block.resnets:
            x = residual(layer, x)
        for layer in block.upsamplers or ():
            x = enlarge(layer, x)
    return d.conv_out(norm_silu(x, d.norm_out.gamma)).float()


# ---- The transformer.

def rotation():
    """cos and sin [tokens, 1, head / 2] of the positions' angles, frames, rows, columns."""
    head = WIDTH // HEADS
    side = 2 * (head // 6)
    places = torch.meshgrid(*(torch.arange(n) for n in GRID), indexing="ij")
    angles = []
    for place, size in zip(places, (head - 2 * side, side, side)):
        rates = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angles.append(place.flatten()[:, None] * rates)
    angle = torch.cat(angles, 1)[:, None]
    return angle.cos().float(), angle.sin().float()


def rotate(x, turn):
    """x: [B, T, heads, D]; neighbours turn together."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = turn
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def rms(norm, x):
    return F.rms_norm(x, x.shape[-1:], norm.weight.to(x.dtype), norm.eps)


def attend(a, x, context, turn=None):
    parts = (a.to_q, a.to_k, a.to_v)
    if context is x:
        q, k, v = F.linear(x, torch.cat([p.weight for p in parts]),
                           torch.cat([p.bias for p in parts])).chunk(3, dim=-1)
    else:
        q = a.to_q(x)
        k, v = F.linear(context, torch.cat([p.weight for p in parts[1:]]),
                        torch.cat([p.bias for p in parts[1:]])).chunk(2, dim=-1)
    q, k = (t.unflatten(-1, (HEADS, -1)) for t in (rms(a.norm_q, q), rms(a.norm_k, k)))
    if turn is not None:
        q, k = rotate(q, turn).to(v.dtype), rotate(k, turn).to(v.dtype)
    v = v.unflatten(-1, (HEADS, -1))
    return a.to_out[0](models.attention(*(t.transpose(1, 2) for t in (q, k, v))))


def run_block(block, x, context, t6, turn):
    """x stays in f32."""
    shift1, scale1, gate1, shift2, scale2, gate2 = (block.scale_shift_table + t6).chunk(6, dim=1)
    h = models.modulated(x, shift1, scale1)
    x = x + gate1 * attend(block.attn1, h, h, turn)
    h = F.layer_norm(x, x.shape[-1:], block.norm2.weight, block.norm2.bias, 1e-6)
    x = x + attend(block.attn2, h, context)
    up, down = block.ffn.net[0].proj, block.ffn.net[2]
    return x + gate2 * down(F.gelu(up(models.modulated(x, shift2, scale2)), approximate="tanh"))


def denoise(model, latent, t, text, mask, tap=None):
    """latent [B, 16, 5, 8, 8], t [B] in 0..1, text [B, 32, 128], mask [B, 32] -> velocity.

    What is behind the text is zero, as the pipeline has it. With `tap`, (velocity, tokens
    [B, 80, 192] after that many blocks).
    """
    b, ch, (f, h, w) = latent.shape[0], latent.shape[1], GRID
    patches = latent.view(b, ch, f, h, 2, w, 2).permute(0, 2, 3, 5, 1, 4, 6).reshape(b, f * h * w, -1)
    x = F.linear(patches, model.patch_embedding.weight.flatten(1), model.patch_embedding.bias).float()
    c = model.condition_embedder
    te = c.time_embedder.linear_2(F.silu(c.time_embedder.linear_1(models.sinusoid(t * 1000))))
    t6 = c.time_proj(F.silu(te)).view(b, 6, -1).float()
    context = c.text_embedder.linear_2(
        F.gelu(c.text_embedder.linear_1(text * mask[..., None]), approximate="tanh"))
    turn, tapped = rotation(), None
    for i, block in enumerate(model.blocks):
        x = run_block(block, x, context, t6, turn)
        if i + 1 == tap:
            tapped = x
    shift, scale = (model.scale_shift_table + te[:, None].float()).chunk(2, dim=1)
    y = model.proj_out(models.modulated(x, shift, scale)).float()
    y = y.view(b, f, h, w, 2, 2, ch).permute(0, 6, 1, 2, 4, 3, 5).reshape(latent.shape)
    return y if tap is None else (y, tapped)


def initialize(model):
    """Cross-attention outputs and the last layer start at zero, the rest as is usual for DiT."""
    for name, p in model.named_parameters():
        if p.dim() >= 2 and "table" not in name:
            torch.nn.init.xavier_uniform_(p.data.view(p.shape[0], -1))
        elif name.endswith("bias"):
            torch.nn.init.zeros_(p)
    for block in model.blocks:
        torch.nn.init.zeros_(block.attn2.to_out[0].weight)
    torch.nn.init.zeros_(model.proj_out.weight)
    c = model.condition_embedder
    for layer in (c.time_embedder.linear_1, c.time_embedder.linear_2, c.time_proj):
        torch.nn.init.normal_(layer.weight, std=0.02)


@torch.no_grad()
def check():
    """These forwards against the library's own."""
    torch.manual_seed(0)
    vae, dit = autoencoder().eval(), transformer().eval()
    x = torch.randn(2, 3, 17, 64, 64)
    dist = vae.encode(x).latent_dist
    mean, logvar = encode(vae, x)
    z = torch.randn(2, LATENT_CHANNELS, LATENT_FRAMES, LATENT_SIZE, LATENT_SIZE)
    text, mask = torch.randn(2, MAX_TOKENS, TEXT_WIDTH), torch.ones(2, MAX_TOKENS)
    mask[0, 9:] = 0
    t = torch.tensor([0.3, 0.999])
    pairs = dict(mean=(mean, dist.mean), logvar=(logvar.clamp(-30, 20), dist.logvar),
                 decode=(decode(vae, z).clamp(-1, 1), vae.decode(z).sample.clamp(-1, 1)),
                 denoise=(denoise(dit, z, t, text, mask),
                          dit(z, t * 1000, text * mask[..., None]).sample))
    for name, (ours, theirs) in pairs.items():
        print(name, ((ours - theirs).norm() / theirs.norm()).item())


if __name__ == "__main__":
    check()
