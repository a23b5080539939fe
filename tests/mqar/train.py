#!/usr/bin/env python3
"""Trains the associative-recall (MQAR) models: what the latent state is for, shown on 300,000 parameters.

    pip install -r ../../deploy/demo-model/requirements.txt && python3 train.py

A sequence is `pairs` key-value pairs, a gap of fillers longer than two layers of windows reach, then `pairs` keys drawn
from them (with replacement, so that nothing can be found by elimination), each followed by its value:
k v k v .. 0 0 .. k v k v ..  The model must name the value at the key's second appearance. Tokens: 0 filler, 1..32 keys,
33..64 values.

Writes NAME/{config.json, model.safetensors} for the full model and its two ablations, each trained the same way, and
eval.json: unseen sequences, the answers, and every model's own predictions and log-probabilities (float32, on the stored bf16 weights).
"""
import argparse
import os
import sys
import time

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "deploy", "demo-model"))
import latte_torch

KEYS, VALUES = 32, 32
MIN_PAIRS, MAX_PAIRS = 8, 16
WINDOW, GAP = 2, 4
HIDDEN, HEADS, LATENTS = 128, 2, 64
LENGTH = 4 * MAX_PAIRS + GAP
MODELS = {"macchiato": "macchiato", "window-only": "sliding_attention", "latents-only": "latte"}
EVAL_SEQUENCES, EVAL_SEED = 256, 1_000_003


def sequences(count, pairs, rng):
    """(tokens [count, LENGTH], targets [count, LENGTH]): a target is the next token where a key is asked, else -1.
    `pairs` is for all of them; the rest of the row is filler."""
    keys = 1 + torch.rand(count, KEYS, generator=rng).argsort(1)[:, :pairs]
    values = 1 + KEYS + torch.randint(VALUES, (count, pairs), generator=rng)
    order = torch.randint(pairs, (count, pairs), generator=rng)
    tokens = torch.zeros(count, LENGTH, dtype=torch.long)
    targets = torch.full((count, LENGTH), -1)
    asked, answers = keys.gather(1, order), values.gather(1, order)
    tokens[:, :2 * pairs] = torch.stack([keys, values], 2).flatten(1)
    start = 2 * pairs + GAP
    tokens[:, start:start + 2 * pairs] = torch.stack([asked, answers], 2).flatten(1)
    targets[:, start:start + 2 * pairs:2] = answers
    return tokens, targets


def start_near_lookup(parameters, seed):
    """Shortens the plateau before recall appears, for all models alike; every weight is trained from here.

    Symbols start in the first half of the channels; layer 0 copies what it sees there into the second half; the latent
    keys of layer 1 read the second half as its latent queries read the first, so that what was seen beside a key is
    stored near where the key will look. Which token, which latent, which answer: that is learnt.
    """
    half = HIDDEN // 2
    first, second = "model.layers.0.mixer.", "model.layers.1.mixer."
    parameters["model.embed_tokens.weight"][:, half:] = 0
    parameters[first + "v_proj.weight"][:half] = torch.eye(half, HIDDEN)
    parameters[first + "o_proj.weight"].zero_()
    parameters[first + "o_proj.weight"][half:, :half] = 2 * torch.eye(half)
    if second + "latent_key.weight" in parameters:
        map_ = torch.randn(HEADS, LATENTS, half, generator=torch.Generator().manual_seed(seed + 1)) * 1.4 * half ** -0.5
        query = parameters[second + "latent_query.weight"].unflatten(0, (HEADS, -1))
        query[:, -LATENTS:] = F.pad(map_, (0, half))
        parameters[second + "latent_key.weight"] = F.pad(map_, (half, 0)).flatten(0, 1)


def train(name, steps, batch, peak, seed):
    config = latte_torch.make_config(
        vocab_size=1 + KEYS + VALUES, hidden_size=HIDDEN, layer_types=[MODELS[name]] * 2, num_attention_heads=HEADS,
        num_key_value_heads=HEADS, head_dim=HIDDEN // HEADS, latents_per_head=LATENTS, sliding_window=WINDOW, intermediate_size=128,
        embedding_scale=8.0)
    parameters = latte_torch.init_parameters(config, seed, local_bias=True)
    start_near_lookup(parameters, seed)
    for x in parameters.values():
        x.requires_grad_(True)
    optimizer = latte_torch.Optimizer(parameters, peak)
    rng = torch.Generator().manual_seed(seed)
    start = time.monotonic()
    for step in range(steps):
        # Easy cases first: the number of pairs grows to its full range over the first half.
        most = min(MAX_PAIRS, 2 + int(2 * step / steps * MAX_PAIRS))
        pairs = int(torch.randint(2, most + 1, (), generator=rng))
        tokens, targets = sequences(batch, pairs, rng)
        used = 4 * pairs + GAP
        x = latte_torch.hidden(config, parameters, tokens[:, :used])
        loss = latte_torch.backward(config, parameters, x, targets[:, :used].contiguous(), torch.float32, rows=1 << 20)
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step(latte_torch.learning_rate(step, steps, peak, 50))
        if step % 25 == 0:
            print(f"{name} step {step} pairs {pairs} loss {loss:.4f} seconds {time.monotonic() - start:.0f}", flush=True)
    weights = latte_torch.export(os.path.join(HERE, name), config, parameters, torch.bfloat16)
    return config, weights, dict(steps=steps, seconds=round(time.monotonic() - start))


@torch.no_grad()
def evaluate(config, weights, tokens, positions, answers):
    """The model's own predictions and log-probabilities of the answers at `positions` of one sequence."""
    y = latte_torch.logits(config, weights, torch.tensor([tokens]), exact=True)[0][positions]
    logprobs = F.log_softmax(y.double(), -1).gather(1, torch.tensor(answers)[:, None])[:, 0]
    return y.argmax(-1).tolist(), [round(x, 6) for x in logprobs.tolist()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng = torch.Generator().manual_seed(EVAL_SEED)
    cases = []
    for i in range(EVAL_SEQUENCES):
        pairs = MIN_PAIRS + i % (MAX_PAIRS - MIN_PAIRS + 1)
        tokens, targets = sequences(1, pairs, rng)
        positions = (targets[0] >= 0).nonzero()[:, 0]
        cases.append(dict(pairs=pairs, tokens=tokens[0, :4 * pairs + GAP].tolist(), query_positions=positions.tolist(),
                          answers=targets[0, positions].tolist(), predictions={}, answer_logprobs={}))
    results = {}
    for name in MODELS:
        config, weights, facts = train(name, args.steps, args.batch, args.learning_rate, args.seed)
        right = total = 0
        for case in cases:
            found, logprobs = evaluate(config, weights, case["tokens"], case["query_positions"], case["answers"])
            case["predictions"][name], case["answer_logprobs"][name] = found, logprobs
            right += sum(a == b for a, b in zip(found, case["answers"]))
            total += len(found)
        results[name] = dict(recall=right / total, right=right, queries=total,
                             parameters=sum(x.numel() for x in weights.values()), **facts)
        print(name, results[name], flush=True)
    latte_torch.write_json(os.path.join(HERE, "eval.json"), dict(
        protocol="Every sequence starts from the empty state. predictions: argmax of the float32 logits at each query "
                 "position, given the tokens up to and including it; answer_logprobs: natural log-probability of the "
                 "answer there. recall: predictions equal to answers, over all queries.",
        command=" ".join(["python3", "train.py"] + sys.argv[1:]), framework=f"PyTorch {torch.__version__}, CPU, float32",
        models=results, sequences=cases), separators=(",", ":"))


if __name__ == "__main__":
    main()
