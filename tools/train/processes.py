"""Where training runs: on a GPU if there is one; else in several processes that train one model
together, whose gradients are averaged."""
import os

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def halves():
    """What is computed within is computed in bf16 where that does no harm."""
    return torch.autocast(DEVICE.type, dtype=torch.bfloat16)


def save(tensors, path):
    """What is interrupted leaves the file as it was."""
    torch.save(tensors, path + ".tmp")
    os.replace(path + ".tmp", path)


def average(params, extra):
    """Gradients, none counted as zero, become their mean over the processes; so do the numbers
    `extra`, which are returned."""
    if not dist.is_initialized():
        return extra
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in params]
                     + [torch.tensor(extra)])
    dist.all_reduce(flat)
    *grads, means = (flat / dist.get_world_size()).split([p.numel() for p in params] + [len(extra)])
    for p, grad in zip(params, grads):
        p.grad = grad.view_as(p)
    return means.tolist()


def worker(rank, count, meet, trainer, args):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + meet, rank=rank, world_size=count)
    trainer(rank, args).run()
    dist.destroy_process_group()


def run(trainer, args):
    """trainer(rank, args).run() in args.processes processes, which meet in a file beside args.out; on a GPU
    in this one."""
    if DEVICE.type == "cuda":
        torch.set_default_device(DEVICE)
        return trainer(0, args).run()
    meet = args.out + ".meet"
    if os.path.exists(meet):
        os.remove(meet)
    mp.spawn(worker, (args.processes, meet, trainer, args), nprocs=args.processes)
