"""FlowMatchEulerDiscreteScheduler with what the PixArt pipelines also ask a scheduler for."""
from diffusers import FlowMatchEulerDiscreteScheduler


class FlowMatchEulerForPixArt(FlowMatchEulerDiscreteScheduler):
    """The flow schedulers take the sample as it is and start from unit noise."""

    init_noise_sigma = 1.0

    def scale_model_input(self, sample, timestep=None):
        return sample
