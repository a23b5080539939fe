"""The size that all peers share, and what a peer is."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Shape:
    """Of bench-150m by default (make_model.py); the peers' own sizes follow from `parameters`."""

    vocab: int = 50304
    hidden: int = 768
    layers: int = 12
    heads: int = 8
    head_dim: int = 96
    latents: int = 32
    window: int = 128
    blocks: int = 8        # of the RG-LRU's gates
    mlp: int = 2560        # gated

    @property
    def parameters(self):
        inner = self.heads * self.head_dim
        mixer = self.hidden * (self.heads * (self.latents + 1) + self.heads * self.latents + 4 * inner)
        gates = 2 * (self.hidden**2 // self.blocks + self.hidden) + self.hidden
        layer = mixer + gates + 3 * self.hidden * self.mlp + 2 * self.hidden
        return self.vocab * self.hidden + self.layers * layer + self.hidden


TINY = Shape(vocab=512, hidden=64, layers=2, heads=2, head_dim=32, latents=8, window=16, blocks=2, mlp=128)


class Peer:
    """One way to run a model of that size. Loading is done when it is made; a point is compiled before it is timed."""

    name = ""

    def parameters(self):
        """How many it has."""
        raise NotImplementedError

    def decode(self, batch, context):
        """A function that draws tokens for `batch` sequences of `context` tokens and returns (seconds, steps); None where
        this peer has no such point."""

    def prefill(self, tokens):
        """The same that reads one prompt; steps is 1."""
