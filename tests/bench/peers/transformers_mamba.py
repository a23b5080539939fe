"""A recurrent peer: Mamba of Hugging Face's transformers, random weights, by its own `generate`."""
import time

import torch
from transformers import MambaConfig, MambaForCausalLM

from peers.shape import Peer


def make_model(shape):
    """As many layers as make up the shape's number of parameters."""
    def of(layers):
        return MambaForCausalLM(MambaConfig(vocab_size=shape.vocab, hidden_size=shape.hidden, num_hidden_layers=layers,
                                            tie_word_embeddings=True, eos_token_id=None, pad_token_id=0))
    count = lambda model: sum(p.numel() for p in model.parameters())
    with torch.device("meta"):
        one, two = count(of(1)), count(of(2))
    return of(max(1, round(1 + (shape.parameters - one) / (two - one))))


class Mamba(Peer):
    name = "transformers Mamba, generate"
    STEPS = 32

    def __init__(self, shape, device):
        torch.manual_seed(0)
        self.device, self.vocab = device, shape.vocab
        self.model = make_model(shape).to(device, torch.bfloat16 if device == "cuda" else torch.float32).eval()

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    @torch.no_grad()
    def seconds(self, prompt, count):
        """Of reading the prompt and drawing `count` tokens."""
        begin = time.perf_counter()
        self.model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, min_new_tokens=count,
                            max_new_tokens=count, use_cache=True)
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    def decode(self, batch, context):
        prompt = (torch.arange(batch * context, device=self.device) % self.vocab).view(batch, context)
        call = lambda: (self.seconds(prompt, 1 + self.STEPS) - self.seconds(prompt, 1), self.STEPS)
        call()
        return call

    def prefill(self, tokens):
        prompt = torch.arange(tokens, device=self.device)[None] % self.vocab
        call = lambda: (self.seconds(prompt, 1), 1)
        call()
        return call


def all_of(shape, device, arguments):
    yield Mamba(shape, device)
