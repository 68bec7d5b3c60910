"""A GGUF file with a tensor of each type that we read, and their values by the gguf package."""
import os

import numpy as np

from common import GOLDEN, save_golden

import torch
import gguf
from gguf import GGMLQuantizationType as Type

BLOCKS = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q4_K, Type.Q5_K, Type.Q6_K]
ROWS, COLUMNS = 3, 512
# Where half floats lie in blocks whose codes are any bytes.
HALVES = {Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,)}


def blocks_of(kind, random):
    """Quantized values; the package does not quantize to K types: there any bytes will do."""
    if kind not in HALVES:
        return gguf.quants.quantize(random.standard_normal((ROWS, COLUMNS), np.float32), kind)
    values, size = gguf.GGML_QUANT_SIZES[kind]
    data = random.integers(0, 256, (ROWS, COLUMNS // values, size), np.uint8)
    for at in HALVES[kind]:
        scales = (random.standard_normal((ROWS, COLUMNS // values, 1)) * 0.01).astype(np.float16)
        data[:, :, at:at + 2] = scales.view(np.uint8)
    return data.reshape(ROWS, -1)


def main():
    random = np.random.default_rng(7)
    path = os.path.join(GOLDEN, "gguf_types.gguf")
    writer = gguf.GGUFWriter(path, "sd1")
    writer.add_string("general.note", "every type that is read")
    writer.add_array("some.words", ["one", "two"])
    golden = {}
    for kind in (Type.F32, Type.F16, Type.BF16):
        values = random.standard_normal((2, 3, 5), np.float32)
        data = gguf.quants.quantize(values, kind)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        golden[kind.name] = gguf.quants.dequantize(data, kind)
    for kind in BLOCKS:
        data = blocks_of(kind, random)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        golden[kind.name] = gguf.quants.dequantize(data, kind)
    # Rows that are no whole blocks are stored in others.
    flat = random.standard_normal((6, 256), np.float32)
    data = gguf.quants.quantize(flat, Type.Q8_0)
    writer.add_tensor("moved", data, raw_dtype=Type.Q8_0)
    writer.add_array("comfy.gguf.orig_shape.moved", [96, 16, 1])
    golden["moved"] = gguf.quants.dequantize(data, Type.Q8_0).reshape(96, 16, 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_golden("gguf_types", {name: torch.from_numpy(v.copy()) for name, v in golden.items()},
                "values of gguf_types.gguf")


if __name__ == "__main__":
    main()
