"""Golden values of the calibration's statistics, by NumPy alone: tests/data/golden/calibrate.safetensors"""
import numpy as np
from safetensors.numpy import save_file

import common

B, H, W, C, STRIDE = 2, 5, 6, 4, 2


def rows_of(x):
    """Rows of a 3 x 3 convolution with padding 1: tap by tap, channels last."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = []
    for b in range(B):
        for y in range(0, H, STRIDE):
            for i in range(0, W, STRIDE):
                out.append(padded[b, y:y + 3, i:i + 3].reshape(-1))
    return np.stack(out)


def best_scale(x):
    """The scale of 8-bit integers with the least squared error, by trying on the values themselves."""
    scales = np.abs(x).max() * (1 - 0.01 * np.arange(80)) / 127
    errors = [np.sum((np.clip(np.rint(x / s), -127, 127) * s - x) ** 2) for s in scales]
    return scales[int(np.argmin(errors))], min(errors)


def main():
    rng = np.random.default_rng(5)
    x = (rng.laplace(size=(B, H, W, C)) * [1, 0.1, 20, 3]).astype(np.float32)
    rows = rows_of(x.astype(np.float64))
    heavy = np.concatenate([rng.laplace(size=20000), [60.0]]).astype(np.float32)
    scale, error = best_scale(heavy.astype(np.float64))
    shares = np.array([0.5, 0.9, 0.99, 0.999])
    save_file({
        "x": x,
        "rows": rows.astype(np.float32),
        "gram": (rows.T @ rows).astype(np.float32),
        "channel_max": np.abs(x).max(axis=(0, 1, 2)),
        "moments": np.array([x.size, x.min(), x.max(), x.sum(dtype=np.float64),
                             (x.astype(np.float64) ** 2).sum()]),
        "heavy": heavy,
        "percentiles": np.quantile(np.abs(heavy), shares, method="inverted_cdf"),
        "best": np.array([scale, error]),
    }, common.GOLDEN + "/calibrate.safetensors")


if __name__ == "__main__":
    main()
