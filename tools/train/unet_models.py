"""The configurations of scenes-unet, in the classes of diffusers and transformers."""
import os

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

import flow

MAX_TOKENS = 40
TEXT_WIDTH = 128
CHANNELS = (32, 64, 160) # each a multiple of 32: groups of the norms, width of the heads


def text_encoder(vocab):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=vocab, hidden_size=TEXT_WIDTH, intermediate_size=512, num_hidden_layers=4,
        num_attention_heads=4, max_position_embeddings=MAX_TOKENS, hidden_act="quick_gelu",
        projection_dim=TEXT_WIDTH, pad_token_id=vocab - 1, bos_token_id=vocab - 2,
        eos_token_id=vocab - 1))


def load_text(path):
    """The text encoder of clip_text.py's file, or of an exported folder."""
    if os.path.isdir(path):
        return CLIPTextModel.from_pretrained(path).float()
    kept = torch.load(path, map_location="cpu")
    model = text_encoder(kept["vocab"])
    model.load_state_dict(kept["text"])
    return model


def unet():
    model = UNet2DConditionModel(
        sample_size=32, in_channels=8, out_channels=8, block_out_channels=CHANNELS,
        layers_per_block=2, down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"), cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=tuple(c // 32 for c in CHANNELS), norm_num_groups=32,
        use_linear_projection=True)
    # Plain products: on a CPU their backward pass is several times faster than the fused one's.
    model.set_attn_processor(AttnProcessor())
    return model


def scheduler():
    return DDIMScheduler(
        num_train_timesteps=1000, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing",
        clip_sample=False, set_alpha_to_one=True, steps_offset=1)


class Tokens:
    """Padded to the full length, as the model sees it: without a mask, padding is text too."""

    def __init__(self, folder):
        self.tok = CLIPTokenizerFast.from_pretrained(folder)

    def __call__(self, texts):
        """([B, L] ids, [B, L] mask: 1 up to and with the end of text)"""
        out = self.tok(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True)
        return torch.tensor(out.input_ids), torch.tensor(out.attention_mask).float()


class Denoiser(torch.nn.Module):
    """x_t = a x + s n by the scheduler's table; says a n - s x. t in 0..1 is t of 1000 steps."""

    def __init__(self, text):
        super().__init__()
        self.text, self.unet, self.tapped = text, unet(), None
        table = scheduler().alphas_cumprod
        self.register_buffer("a", table.sqrt(), persistent=False)
        self.register_buffer("s", (1 - table).clamp(min=0).sqrt(), persistent=False)
        self.unet.mid_block.register_forward_hook(self.tap)

    def tap(self, module, inputs, output):
        self.tapped = output

    def index(self, t):
        return (t * 1000).long().clamp(0, 999)

    pixel_weight = staticmethod(flow.pixel_weight)

    def mix(self, x, noise, t):
        """(x_t, what is to be said)"""
        a, s = (table[self.index(t)].view(-1, 1, 1, 1) for table in (self.a, self.s))
        return a * x + s * noise, a * noise - s * x

    def step(self, x, v, t, to):
        """From t to `to`, as DDIM with trailing steps has it: its k-th of 1000 is the table's k - 1."""
        a, s = self.levels(t)
        clean, noise = a * x - s * v, s * x + a * v
        a, s = self.levels(to)
        return a * clean + s * noise

    def levels(self, t):
        k = round(t * 1000) - 1
        return (self.a[k], self.s[k]) if k >= 0 else (1.0, 0.0)

    def forward(self, x, t, ids, mask=None, tap=None):
        with torch.no_grad():
            h = self.text(input_ids=ids).last_hidden_state
        v = self.unet(x, self.index(t), encoder_hidden_states=h).sample.float()
        tapped, self.tapped = self.tapped, None
        return v if tap is None else (v, tapped.flatten(2).mT)
