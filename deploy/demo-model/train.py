#!/usr/bin/env python3
"""Trains the demo model on the Python standard library's sources; on a CPU, in an hour or two.

    pip install -r requirements.txt && python3 train.py --minutes=75

Writes config.json, generation_config.json, model.safetensors (bf16), tokenizer.json, heldout.txt, heldout.json and
eval.json into --out, every --export_minutes and at the end.
"""
import argparse
import datetime
import hashlib
import math
import os
import sys
import sysconfig
import time

# Large tensors come and go in every step; without this glibc returns them to the kernel each time, at half the speed.
# Threads that wait must not spin: the machine may be busy.
ENVIRONMENT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "268435456",
               "OMP_WAIT_POLICY": "passive"}
if __name__ == "__main__" and any(os.environ.get(k) != v for k, v in ENVIRONMENT.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import latte_torch

END = "<|endoftext|>"  # id 0: between files, and the end of a generation
PAD = "<|pad|>"        # id 1: never trained on
VOCABULARY = 3072
LENGTH, BATCH = 512, 4
# Tests, generated tables and packages that are not the standard library's.
SKIPPED = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "encodings", "pydoc_data"}
SKIPPED_FILES = ("_sysconfigdata", "entities.py")
HELDOUT_DOCUMENT_TOKENS = 1024
HELDOUT_BYTES = 60_000


def read_corpus(root):
    """(training texts, held-out texts), each {relative name: text}. A name's hash decides: 1 file in 32 is held out."""
    train, heldout = {}, {}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED)
        for file in sorted(files):
            if not file.endswith(".py") or file.startswith(SKIPPED_FILES):
                continue
            path = os.path.join(folder, file)
            name = os.path.relpath(path, root)
            with open(path, "rb") as f:
                data = f.read()
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                continue  # a few files are in other encodings
            if text.strip():
                held = hashlib.sha256(name.encode()).digest()[0] < 8
                (heldout if held else train)[name] = text
    return train, heldout


def train_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END, PAD], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def batches(encoded):
    """Endless batches [BATCH, LENGTH + 1]; every epoch the files are joined in a new order and cut anew."""
    width = LENGTH + 1
    while True:
        stream = torch.cat([encoded[i] for i in torch.randperm(len(encoded)).tolist()])
        windows = stream[:len(stream) // width * width].view(-1, width)
        for picked in torch.randperm(len(windows)).split(BATCH):
            if len(picked) == BATCH:
                yield windows[picked]


def heldout_documents(tokenizer, texts):
    """The opening lines of each held-out file, as many as fit in HELDOUT_DOCUMENT_TOKENS tokens."""
    documents, size = [], 0
    for name in sorted(texts):
        text = ""
        for line in texts[name].splitlines(keepends=True):
            if len(tokenizer.encode(text + line).ids) > HELDOUT_DOCUMENT_TOKENS:
                break
            text += line
        ids = tokenizer.encode(text).ids
        if len(ids) < 64 or size + len(text.encode()) > HELDOUT_BYTES:
            continue
        start, size = size, size + len(text.encode())
        documents.append(dict(name=name, bytes=[start, size], tokens=ids, text=text))
    return documents


@torch.no_grad()
def evaluate(config, weights, documents):
    """Adds each document's mean negative log-likelihood (float32 forward, float64 mean over tokens 1..N-1);
    returns (nats per predicted token, predicted tokens, total nats)."""
    total, count = 0.0, 0
    for document in documents:
        ids = torch.tensor(document["tokens"])
        y = latte_torch.logits(config, weights, ids[None, :-1], exact=True)[0].double()
        nll = torch.nn.functional.cross_entropy(y, ids[1:], reduction="sum").item()
        document["mean_nll"] = nll / (len(ids) - 1)
        total, count = total + nll, count + len(ids) - 1
    return total / count, count, total


@torch.no_grad()
def sample(config, weights, tokenizer, prompt, tokens, seed):
    ids = tokenizer.encode(prompt).ids
    rng = torch.Generator().manual_seed(seed)
    for _ in range(tokens):
        y = latte_torch.logits(config, weights, torch.tensor([ids]), exact=True)[0, -1]
        top, index = torch.topk(y / 0.7, 40)
        ids.append(index[torch.multinomial(torch.softmax(top, -1), 1, generator=rng)].item())
    return tokenizer.decode(ids, skip_special_tokens=False)


def export(args, config, parameters, tokenizer, documents, facts):
    weights = latte_torch.export(args.out, config, parameters, torch.bfloat16)
    mean, count, total = evaluate(config, weights, documents)
    write = lambda name, value: latte_torch.write_json(os.path.join(args.out, name), value, indent=1)
    write("generation_config.json", dict(eos_token_id=0, pad_token_id=1, temperature=0.7, top_k=40, do_sample=True))
    shown = [{k: d[k] for k in ("name", "bytes", "tokens", "mean_nll")} for d in documents]
    latte_torch.write_json(os.path.join(args.out, "heldout.json"), dict(
        protocol="Every document starts from the empty state with its own first token (no BOS). mean_nll: mean over "
                 "tokens 1..N-1 of -log p(token_t | tokens before t), natural log. perplexity: exp of the mean over "
                 "all predicted tokens of all documents. Float32 forward on the bf16 weights of model.safetensors. "
                 "`bytes` is the document's range in heldout.txt; encoding that text gives `tokens`.",
        predicted_tokens=count, mean_nll=mean, perplexity=torch.tensor(mean).double().exp().item(), documents=shown))
    size = sum(len(d["text"].encode()) for d in documents)
    write("eval.json", dict(facts, parameters=sum(x.numel() for x in parameters.values()),
                            heldout=dict(documents=len(documents), bytes=size, predicted_tokens=count, mean_nll=mean,
                                         perplexity=torch.tensor(mean).double().exp().item(),
                                         bits_per_byte=total / 0.6931471805599453 / size)))
    print(f"exported: held-out nll {mean:.4f}, bits per byte {total / 0.6931471805599453 / size:.4f}", flush=True)
    for prompt in ("def ", "import os\n"):
        print("-----", sample(config, weights, tokenizer, prompt, 64, 1), sep="\n", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default=sysconfig.get_paths()["stdlib"], help="folder of .py files")
    parser.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--minutes", type=float, default=75, help="wall time; the learning rate follows it")
    parser.add_argument("--export_minutes", type=float, default=8)
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    os.makedirs(args.out, exist_ok=True)

    train, heldout = read_corpus(args.corpus)
    tokenizer = train_tokenizer(train.values())
    tokenizer.save(os.path.join(args.out, "tokenizer.json"))
    documents = heldout_documents(tokenizer, heldout)
    with open(os.path.join(args.out, "heldout.txt"), "w", encoding="utf-8", newline="") as f:
        f.write("".join(d["text"] for d in documents))
    encoded = [torch.tensor([0] + e.ids) for e in tokenizer.encode_batch(list(train.values()))]
    size = sum(len(t.encode()) for t in train.values())
    count = sum(map(len, encoded))
    print(f"{len(train)} files, {size} bytes, {count} tokens; {len(heldout)} files held out", flush=True)

    config = latte_torch.make_config(
        vocab_size=VOCABULARY, hidden_size=256, layer_types=["macchiato"] * 4, num_attention_heads=8,
        num_key_value_heads=4, head_dim=32, latents_per_head=32, sliding_window=64, qk_mixer="rglru",
        qk_mixer_blocks=4, intermediate_size=768, embedding_scale=16.0, max_position_embeddings=LENGTH,
        eos_token_id=0, pad_token_id=1)
    parameters = latte_torch.init_parameters(config, args.seed, local_bias=True)
    for x in parameters.values():
        x.requires_grad_(True)
    optimizer = latte_torch.Optimizer(parameters, args.learning_rate)

    start = exported = time.monotonic()
    budget, step, average = args.minutes * 60, 0, None
    for tokens in batches(encoded):
        elapsed = time.monotonic() - start
        rate = latte_torch.learning_rate(elapsed / budget, 1.0, args.learning_rate, 0.02)
        rate *= min(1.0, (step + 1) / 100)
        x = latte_torch.hidden(config, parameters, tokens[:, :-1], torch.bfloat16)
        loss = latte_torch.backward(config, parameters, x, tokens[:, 1:], torch.bfloat16)
        if not math.isfinite(loss):
            sys.exit(f"step {step}: the loss is {loss}")
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step(rate)
        step += 1
        average = loss if average is None else 0.98 * average + 0.02 * loss
        if step % 20 == 0:
            print(f"step {step} minutes {elapsed / 60:.1f} lr {rate:.2e} loss {loss:.3f} average {average:.3f} "
                  f"tokens/s {step * BATCH * LENGTH / (time.monotonic() - start):.0f}", flush=True)
        now = time.monotonic()
        last = now - start >= budget
        if last or now - exported > args.export_minutes * 60:
            facts = dict(
                model="Latte-Macchiato with RG-LRU query/key mixers", date=datetime.date.today().isoformat(),
                command=" ".join(["python3", "train.py"] + [a for a in sys.argv[1:] if not a.startswith("--out")]),
                framework=f"PyTorch {torch.__version__}, {torch.get_num_threads()} CPU threads, bf16 products",
                corpus=dict(python=sys.version.split()[0], files=len(train), bytes=size, tokens=count,
                            heldout_files=len(heldout)),
                steps=step, tokens=step * BATCH * LENGTH, epochs=round(step * BATCH * LENGTH / count, 2),
                minutes=round((now - start) / 60, 1), finished=last, training_loss=round(average, 4))
            export(args, config, parameters, tokenizer, documents, facts)
            exported = now
        if last:
            break


if __name__ == "__main__":
    main()
