"""The optimiser of train_demo.py: Muon for matrices (momentum whose singular values are all
brought near one by a polynomial iteration, several matrices of one shape at a time), Adam
for everything else. Few steps fit on two cores, and this one gets most out of each.
"""
import torch

# A quintic whose repeated application sends (0, 1] near 1, steep at 0.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonal(m):
    """[n, rows, columns] -> the same with singular values near 1."""
    a, b, c = COEFFICIENTS
    x = m.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        g = x @ x.transpose(1, 2)
        x = a * x + (b * g + c * (g @ g)) @ x
    return (x.transpose(1, 2) if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Parameters of two or more axes; a convolution counts as [out, rest]."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            alike = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                alike.setdefault(update.shape, []).append((p, update))
            for (rows, columns), members in alike.items():
                scale = max(1, rows / columns) ** 0.5
                for (p, _), o in zip(members, orthogonal(torch.stack([u for _, u in members]))):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(o.view_as(p), alpha=-group["lr"] * scale)
