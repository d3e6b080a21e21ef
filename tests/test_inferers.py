import torch
from monai.data import MetaTensor

from custom_components.inferers import AutocastInferer


class Probe(torch.nn.Module):
    """Remembers what its layer computed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen_type = type(x)
        y = self.layer(x)
        self.computed_in = y.dtype
        return y


def test_network_computes_in_bfloat16_where_asked_and_returns_float32():
    network, x = Probe(), torch.rand(1, 1, 8, 8, 4)
    fast = AutocastInferer(cpu_bfloat16=True)(x, network)
    assert (network.computed_in, fast.dtype) == (torch.bfloat16, torch.float32)
    plain = AutocastInferer(cpu_bfloat16=False)(x, network)
    assert network.computed_in == torch.float32
    assert torch.equal(plain, network(x))
    assert torch.allclose(fast, plain, atol=0.02)


def test_gradients_arrive_in_float32_weights_through_bfloat16():
    network, x = Probe(), torch.rand(1, 1, 8, 8, 4)
    AutocastInferer(cpu_bfloat16=True)(x, network).sum().backward()
    grads = [parameter.grad for parameter in network.parameters()]
    assert all(grad is not None and grad.dtype == torch.float32 and grad.abs().sum() > 0 for grad in grads)


def test_network_sees_a_plain_tensor():
    network = Probe()
    AutocastInferer()(MetaTensor(torch.rand(1, 1, 8, 8, 4)), network)
    assert network.seen_type is torch.Tensor
