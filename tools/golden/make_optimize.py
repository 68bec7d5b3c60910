"""NumPy's and SciPy's results for what chooses weights and formats: optimize.safetensors.

GPTQ after its paper, with an explicit inverse and one column at a time; low-rank branches by a singular value
decomposition in the metric of the inputs; knapsacks by HiGHS; BAQ's shares by a general minimiser.
"""
from common import save_golden

import numpy as np
import scipy.linalg
import scipy.optimize
import torch

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
GRID = np.concatenate([-E2M1[:0:-1], E2M1])


def snap(x):
    return GRID[np.abs(GRID - x[..., None]).argmin(-1)]


def inputs(rng, rows, k, rho):
    x = np.empty((rows, k))
    x[:, 0] = rng.standard_normal(rows)
    for i in range(1, k):
        x[:, i] = rho * x[:, i - 1] + np.sqrt(1 - rho * rho) * rng.standard_normal(rows)
    return x * (1 + np.arange(k) % 5)


def gptq(w, h, scales, group):
    """Codes, and how near the nearest decision was to a tie, in steps."""
    k = len(h)
    order = np.lexsort((np.arange(k), -np.diag(h)))
    damped = h[np.ix_(order, order)] + 0.01 * np.diag(h).mean() * np.eye(k)
    upper = scipy.linalg.cholesky(np.linalg.inv(damped), lower=False)
    left, codes, margin = w[:, order].copy(), np.empty_like(w), 1.0
    middles = (GRID[1:] + GRID[:-1]) / 2
    for i, column in enumerate(order):
        s = scales[:, column // group]
        scaled = left[:, i] / s
        codes[:, column] = snap(scaled)
        margin = min(margin, np.abs(scaled[:, None] - middles).min())
        error = (left[:, i] - codes[:, column] * s) / upper[i, i]
        left[:, i:] -= np.outer(error, upper[i, i:])
    return codes, margin


def knapsack(rng, layers, work):
    """Bytes, losses and work [layers][3], the budgets, and the least loss."""
    size = rng.integers(1000, 50000, layers)
    sizes = np.stack([size // 2 + size // 16, size + 4, 2 * size], 1)
    losses = np.exp(rng.normal(0, 2, layers))[:, None] * np.array([1, 1 / 250, 0]) * size[:, None]
    works = size[:, None] * np.array([[4, 8, 16]])
    budget = int(sizes[:, 0].sum() + 0.3 * (sizes[:, 2] - sizes[:, 0]).sum())
    most = works[:, 0].sum() + 0.25 * (works[:, 2] - works[:, 0]).sum()
    one = np.kron(np.eye(layers), np.ones(3))
    rules = [scipy.optimize.LinearConstraint(one, 1, 1),
             scipy.optimize.LinearConstraint(sizes.reshape(1, -1), 0, budget)]
    if work:
        rules.append(scipy.optimize.LinearConstraint(works.reshape(1, -1), 0, most))
    best = scipy.optimize.milp(losses.reshape(-1), integrality=np.ones(3 * layers), constraints=rules,
                               bounds=scipy.optimize.Bounds(0, 1), options={"mip_rel_gap": 1e-9})
    assert best.status == 0
    return sizes, losses, works, np.array([budget, most]), best.fun


def main():
    rng = np.random.default_rng(20261)
    out = {}
    n, k, group = 16, 64, 32
    x = inputs(rng, 512, k, 0.9)
    w = rng.standard_normal((n, k)).astype(np.float32).astype(np.float64)
    h = (x.T @ x / len(x)).astype(np.float32).astype(np.float64)
    scales = (np.abs(w).reshape(n, k // group, group).max(2) / 6).astype(np.float16).astype(np.float64)
    codes, margin = gptq(w, h, scales, group)
    assert margin > 1e-4, margin
    off = codes * np.repeat(scales, group, 1) - w
    out.update({"gptq/w": w, "gptq/gram": h, "gptq/scales": scales, "gptq/codes": codes,
                "gptq/energy": np.array([np.trace(off @ h @ off.T)])})

    rank = 8
    root = scipy.linalg.cholesky(h, lower=True)
    u, s, vt = np.linalg.svd(w @ root, full_matrices=False)
    product = (u[:, :rank] * s[:rank]) @ vt[:rank] @ np.linalg.inv(root)
    out.update({"low_rank/product": product, "low_rank/energy": np.array([(s[rank:] ** 2).sum()])})
    u, s, vt = np.linalg.svd(w, full_matrices=False)
    out["low_rank/plain"] = (u[:, :rank] * s[:rank]) @ vt[:rank]

    for name, work in (("bytes", False), ("both", True)):
        sizes, losses, works, budgets, least = knapsack(rng, 60, work)
        out.update({f"knapsack_{name}/sizes": sizes, f"knapsack_{name}/losses": losses,
                    f"knapsack_{name}/works": works, f"knapsack_{name}/budgets": budgets,
                    f"knapsack_{name}/least": np.array([least])})

    loss = np.exp(rng.normal(0, 4, 12))
    size = rng.integers(1, 20, 12).astype(np.float64)
    start = np.full(12, 4.0)
    best = scipy.optimize.minimize(
        lambda b: np.log((size * loss * 4.0 ** -b).sum()), start, method="SLSQP", bounds=[(2, 8)] * 12,
        constraints={"type": "eq", "fun": lambda b: (size * (b - 4)).sum()},
        options={"maxiter": 2000, "ftol": 1e-15})
    assert best.success
    out.update({"baq/loss": loss, "baq/sizes": size, "baq/bits": best.x})
    save_golden("optimize", {key: torch.from_numpy(np.asarray(v, dtype=np.float32)) for key, v in out.items()},
                "GPTQ, low rank, knapsacks, BAQ")


main()
