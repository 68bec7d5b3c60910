"""Muon for weight matrices and convolutions, AdamW for everything else, in one optimizer.

Muon keeps a momentum of the gradient and steps along its nearest orthogonal matrix, found by five
Newton-Schulz iterations.
"""
import torch


def orthogonalize(grad, steps=5):
    """grad: [..., rows, columns]; roughly the U V^T of its singular value decomposition."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = grad.bfloat16()
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()


class MuonAdamW(torch.optim.Optimizer):
    """Groups with muon=True step orthogonally, the others like AdamW; `lr` is per group.

    Matrices of one shape are orthogonalized together: one batched product instead of many small.
    """

    def __init__(self, groups, momentum=0.95, betas=(0.9, 0.95), eps=1e-8):
        super().__init__(groups, dict(lr=1e-3, muon=False, momentum=momentum, betas=betas,
                                      eps=eps, decay=0.0))
        self.count = 0

    @torch.no_grad()
    def step(self):
        self.count += 1
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if group["muon"]:
                self.step_muon(group, params)
            else:
                self.step_adam(group, params)

    def step_muon(self, group, params):
        by_shape = {}
        for p in params:
            rows = p.shape[0]
            by_shape.setdefault((rows, p.numel() // rows), []).append(p)
        for (rows, columns), same in by_shape.items():
            updates = []
            for p in same:
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"]
                m.lerp_(p.grad, 1 - group["momentum"])
                updates.append(p.grad.lerp(m, group["momentum"]).reshape(rows, columns))
            direction = orthogonalize(torch.stack(updates))
            rate = group["lr"] * max(1.0, rows / columns) ** 0.5
            for p, d in zip(same, direction):
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(d.reshape(p.shape), alpha=-rate)

    def step_adam(self, group, params):
        beta1, beta2 = group["betas"]
        for p in params:
            state = self.state[p]
            if "first" not in state:
                state["first"], state["second"] = torch.zeros_like(p), torch.zeros_like(p)
            state["first"].lerp_(p.grad, 1 - beta1)
            state["second"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            fair1, fair2 = 1 - beta1 ** self.count, 1 - beta2 ** self.count
            scale = (state["second"] / fair2).sqrt_().add_(group["eps"])
            p.addcdiv_(state["first"], scale, value=-group["lr"] / fair1)


def make(named, muon_lr, adam_lr, is_matrix, decay=0.0):
    """named: [(name, parameter)]; is_matrix(name, parameter) picks what Muon steps, and what
    shrinks by the rate times `decay`."""
    named = [(n, p) for n, p in named if p.requires_grad]
    matrices = [p for n, p in named if is_matrix(n, p)]
    rest = [p for n, p in named if not is_matrix(n, p)]
    return MuonAdamW([dict(params=matrices, lr=muon_lr, base=muon_lr, muon=True,
                            decay=decay),
                      dict(params=rest, lr=adam_lr, base=adam_lr)])


class Average:
    """The exponential moving average of parameters, with a short memory at the start."""

    def __init__(self, params, decay):
        self.params, self.decay, self.count = list(params), decay, 0
        self.shadow = [p.detach().clone() for p in self.params]

    @torch.no_grad()
    def update(self):
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.params], 1 - decay)

    @torch.no_grad()
    def swap(self):
        for p, s in zip(self.params, self.shadow):
            kept = p.detach().clone()
            p.copy_(s)
            s.copy_(kept)
