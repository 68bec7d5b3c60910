"""Shared by the golden-file makers: where files go, seeded weights, saving."""
import json
import math
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.set_grad_enabled(False)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "tests", "data", "golden")
MODELS = os.path.join(ROOT, "tests", "data", "models")


def generator(seed):
    return torch.Generator("cpu").manual_seed(seed)


def randn(seed, *shape):
    """Standard normal values that depend on the seed only."""
    return torch.randn(shape, generator=generator(seed))


def randomise(model, seed, d_kv=None):
    """Fill every parameter so that activations stay near 1 and no path is dead.

    Library defaults leave norms at identity and some layers at zero: a wrong
    bias, gain or table would then pass unnoticed.
    """
    gen = generator(seed)
    for name, p in sorted(dict(model.named_parameters()).items()):
        n = torch.randn(p.shape, generator=gen)
        leaf = name.rsplit(".", 1)[-1]
        if "scale_shift_table" in name:
            p.copy_(0.3 * n)
        elif name.endswith("shared.weight") or "relative_attention_bias" in name:
            p.copy_(n)
        elif p.ndim >= 2:
            fan_in = p[0].numel()
            gain = 1 / math.sqrt(fan_in)
            if d_kv and name.endswith("SelfAttention.q.weight"):
                gain /= math.sqrt(d_kv)  # T5 does not scale its scores
            p.copy_(gain * n)
        elif leaf == "bias":
            p.copy_(0.1 * n)
        else:  # gains of norms
            p.copy_(1 + 0.2 * n)
    return model.eval()


def save_golden(name, tensors, note):
    """Write tests/data/golden/<name>.safetensors with contiguous own copies."""
    os.makedirs(GOLDEN, exist_ok=True)
    out = {k: v.detach().clone().contiguous() for k, v in sorted(tensors.items())}
    for k, v in out.items():
        if v.is_floating_point():
            assert v.dtype in (torch.float32, torch.float64), (k, v.dtype)
            assert torch.isfinite(v).all(), k
    path = os.path.join(GOLDEN, name + ".safetensors")
    save_file(out, path, metadata={"note": note})
    os.chmod(path, 0o644)
    print(f"{os.path.relpath(path, ROOT)}: {len(out)} tensors, {os.path.getsize(path)} bytes")


def save_json(name, head, cases):
    """Write tests/data/golden/<name>.json: one line per case, ASCII only."""
    os.makedirs(GOLDEN, exist_ok=True)
    path = os.path.join(GOLDEN, name + ".json")
    line = lambda v: json.dumps(v, ensure_ascii=True, separators=(",", ":"))
    with open(path, "w", encoding="utf-8") as f:
        f.write("{" + line(head)[1:-1] + ',"cases":[\n')
        f.write(",\n".join(line(c) for c in cases) + "\n]}\n")
    with open(path, encoding="utf-8") as f:
        assert json.load(f)["cases"] == cases
    print(f"{os.path.relpath(path, ROOT)}: {len(cases)} cases, {os.path.getsize(path)} bytes")


def model_dir(*parts):
    path = os.path.join(MODELS, *parts)
    os.makedirs(path, exist_ok=True)
    return path


def hook_outputs(pairs, into):
    """Record the output of modules: pairs of (name, module); returns handles."""
    def make(name):
        def hook(_module, _args, output):
            into[name] = (output[0] if isinstance(output, tuple) else output).clone()
        return hook
    return [m.register_forward_hook(make(n)) for n, m in pairs]
