"""PyTorch's results for single operations: ops.safetensors.

Key: <op>/<tensor>; "x" (or q, k, v) in, "y" out; parameters of an op are part of its name.
"""
from common import generator, save_golden

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding

GEN = generator(501)


def rnd(*shape, scale=1.0):
    return torch.randn(shape, generator=GEN) * scale


def main():
    out = {}

    def put(op, **tensors):
        out.update({f"{op}/{k}": v for k, v in tensors.items()})

    for rows, n, k in ((5, 7, 19), (16, 32, 64)):
        x, w, b = rnd(rows, k), rnd(n, k, scale=k ** -0.5), rnd(n)
        put(f"linear_{rows}x{n}x{k}", x=x, w=w, b=b, y=F.linear(x, w, b), y_nobias=F.linear(x, w))

    x = rnd(2, 5, 9, 7)
    w, b = rnd(6, 5, 3, 3, scale=0.15), rnd(6)
    put("conv3x3", x=x, w=w, b=b, y=F.conv2d(x, w, b, padding=1))
    put("conv3x3_stride2", x=x, w=w, b=b, y=F.conv2d(x, w, b, stride=2, padding=1))
    # VAE encoders pad one column right and one row below, then convolve unpadded
    put("conv3x3_stride2_right_bottom", x=x, w=w, b=b, y=F.conv2d(F.pad(x, (0, 1, 0, 1)), w, b, stride=2))
    even = rnd(1, 5, 8, 6)
    put("conv3x3_stride2_right_bottom_even", x=even, w=w, b=b,
        y=F.conv2d(F.pad(even, (0, 1, 0, 1)), w, b, stride=2))
    w1, b1 = rnd(6, 5, 1, 1, scale=0.4), rnd(6)
    put("conv1x1", x=x, w=w1, b=b1, y=F.conv2d(x, w1, b1))
    w2, b2 = rnd(6, 5, 2, 2, scale=0.2), rnd(6)
    put("conv2x2_stride2", x=even, w=w2, b=b2, y=F.conv2d(even, w2, b2, stride=2))

    x, gain, bias = 3 + 2 * rnd(2, 12, 5, 3), 1 + 0.2 * rnd(12), rnd(12)
    for groups, eps in ((4, 1e-6), (3, 1e-5), (12, 1e-6)):
        put(f"group_norm_{groups}_eps{eps:g}", x=x, gain=gain, bias=bias,
            y=F.group_norm(x, groups, gain, bias, eps))
    x, gain, bias = 5 + rnd(3, 4, 24), 1 + 0.2 * rnd(24), rnd(24)
    put("layer_norm_eps1e-06", x=x, gain=gain, bias=bias, y=F.layer_norm(x, (24,), gain, bias, 1e-6),
        y_plain=F.layer_norm(x, (24,), None, None, 1e-6))
    # mean of squares in f32, as in T5: no mean subtraction, no bias
    put("rms_norm_eps1e-06", x=x, gain=gain, y=gain * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)))

    # [batch, heads, tokens, dim]; bias is added to the scaled scores
    for dim in (12, 32, 64, 72):
        q, k, v = rnd(2, 2, 5, dim), rnd(2, 2, 7, dim), rnd(2, 2, 7, dim)
        bias = rnd(2, 2, 5, 7)
        mask = torch.zeros(2, 1, 1, 7)
        mask[0, ..., 5:] = -10000.0
        mask[1, ..., 2:] = -10000.0
        sdpa = F.scaled_dot_product_attention
        put(f"attention_{dim}", q=q, k=k, v=v, bias=bias, mask=mask, y=sdpa(q, k, v),
            y_bias=sdpa(q, k, v, attn_mask=bias), y_mask=sdpa(q, k, v, attn_mask=mask),
            y_unscaled_bias=sdpa(q * 0.3, k, v, attn_mask=bias, scale=1.0))  # T5: scale 1, here of 0.3 q
    q, v = rnd(1, 1, 40, 16), rnd(1, 1, 40, 16)
    k = 2 * q.flip(2)  # peaked: every query has one key far above the others
    put("attention_long", q=q, k=k, v=v, y=F.scaled_dot_product_attention(q, k, v))

    x = torch.cat([torch.linspace(-12, 12, 97), rnd(31), torch.tensor([0.0, -0.0, 1e-8, -1e-8, 30, -30, 88, -88])])
    put("activation", x=x, silu=F.silu(x), gelu_tanh=F.gelu(x, approximate="tanh"), gelu_erf=F.gelu(x),
        quick_gelu=x * torch.sigmoid(1.702 * x), relu=F.relu(x))
    x = rnd(4, 9)
    put("softmax", x=3 * x, y=F.softmax(3 * x, dim=-1))
    x = rnd(2, 3, 5, 4)
    put("upsample_nearest2", x=x, y=F.interpolate(x, scale_factor=2.0, mode="nearest"))

    t = torch.tensor([0.0, 1.0, 37.25, 500.0, 981.0, 999.0])
    for dim in (16, 256):
        for flip in (False, True):
            for shift in (0, 1):
                name = f"timestep_{dim}_" + ("cos_sin" if flip else "sin_cos") + f"_shift{shift}"
                put(name, t=t, y=get_timestep_embedding(t, dim, flip_sin_to_cos=flip, downscale_freq_shift=shift))
    save_golden("ops", out, "see make_ops.py; layouts are PyTorch's (NCHW, weights [out, in, ...])")


if __name__ == "__main__":
    main()
