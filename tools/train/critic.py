"""Train the critic, which reads scenes off latents: what denoisers learn from beside the pictures.

    python critic.py --data SHARDS --out FILE.safetensors

It is a judge that never sees a pixel, of other pictures than the one that figures come from.
"""
import torch
import torch.nn.functional as F

import batches
import judge

CHANNELS = [(8, 48, 1), (48, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]


def shift(x, dx, dy):
    """[B, C, 32, 32] moved by one cell at most."""
    return F.pad(x, (1, 1, 1, 1), mode="replicate")[..., 1 + dy:33 + dy, 1 + dx:33 + dx]


class Latents:
    """What the critic learns from. Noise on most of them, lest it be swayed by what nobody sees."""

    def __init__(self, folder):
        self.shards = batches.Batches(folder, None, 0)
        self.want, self.objects = judge.targets(self.shards.scenes), judge.object_targets(self.shards.scenes)

    def batch(self, count, rng, gen):
        picks = rng.integers(0, len(self.want), count)
        x, maps = self.shards.pick(self.shards.z, picks).float(), self.shards.pick(self.shards.ids, picks)
        dx, dy = torch.randint(-1, 2, (2,), generator=gen).tolist()
        x, maps = shift(x, dx, dy), shift(maps[:, None].float(), dx, dy)[:, 0].byte()
        noise = (torch.rand(count, 1, 1, 1, generator=gen) - 0.3).clamp(min=0) * 0.5
        return x + noise * torch.randn(x.shape, generator=gen), maps, self.want[picks], self.objects[picks]

    def accuracy(self, model, count):
        """On those kept apart."""
        z, scenes = self.shards.held
        return judge.accuracy(model, lambda begin, end: torch.from_numpy(z[begin:end]).float(),
                              judge.targets(scenes))


def main():
    args = judge.arguments(__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = judge.load(args.start).train() if args.start else judge.SceneJudge(CHANNELS)
    judge.train(model, Latents(args.data), args, dict(input="latents of the autoencoder"))


if __name__ == "__main__":
    main()
