import itertools

from gateway.config import PortRange
from gateway.supervisor import rtp_slice


def test_slices_are_even_disjoint_and_inside_the_range() -> None:
    ports = PortRange(20000, 20101)
    slices = [rtp_slice(ports, i, 8) for i in range(8)]
    assert all(low % 2 == 0 and high > low for low, high in slices)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(slices))
    assert slices[0][0] == 20000
    assert slices[-1][1] <= 20101
