"""Embeddings: the real loading code on tiny random models, made on the spot; nothing is downloaded."""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file

from leastwise.embedding import Embeddings, embed_file, read_embeddings
from leastwise.errors import (
    ColumnError,
    DataError,
    LeastwiseError,
    MissingError,
    ParseError,
    SequenceError,
    StoreError,
    UsageError,
)
from leastwise.sequences import language
from leastwise.sequences.clean import ALPHABET
from leastwise.sequences.language import LanguageModel, load_model

code = importlib.import_module("leastwise.sequences.embed")  # the package may have a function of that name
embed, embed_residues, windows = code.embed, code.embed_residues, code.windows

transformers = pytest.importorskip("transformers", reason="the extra 'embed' is not installed")

VOCABULARY = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>"
LONGEST = 60  # residues that the tiny model has positions for
# Six digits of float32, less one for sums over a few hundred residues.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def save_esm(folder: Path, seed: int = 0, positions: str = "rotary") -> Path:
    """A tiny ESM-2 with random weights, saved as the hub has it."""
    folder.mkdir(exist_ok=True)
    words = VOCABULARY.split()
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.EsmTokenizer(str(folder / "vocab.txt"))
    config = transformers.EsmConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=LONGEST + 4, pad_token_id=1, mask_token_id=32,
        position_embedding_type=positions, token_dropout=True, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(seed)
    transformers.EsmModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_t5(folder: Path) -> Path:
    """A tiny whole T5 with ProtT5's vocabulary: residues with a space before them."""
    folder.mkdir()
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words += [("▁" + letter, -2.0 - i / 10) for i, letter in enumerate("ALGVSREDTIPKFQNYMHWCXBOUZ")]
    tokenizer = transformers.T5Tokenizer(vocab=words, extra_ids=0)
    config = transformers.T5Config(
        vocab_size=len(words), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def esm(tmp_path_factory):
    return save_esm(tmp_path_factory.mktemp("esm"))


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return save_t5(tmp_path_factory.mktemp("models") / "t5")


def proteins(n: int = 12, seed: int = 0, longest: int = 50) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(ALPHABET), size)) for size in rng.integers(1, longest, n)]


def states_by_hand(model: Path, text: str, layer: int = -1, spaced: bool = False) -> np.ndarray:
    """One sequence, read by transformers alone: the states of its residues, (L, d)."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    kind = transformers.T5EncoderModel if spaced else transformers.EsmModel
    network = kind.from_pretrained(model).eval()
    given = tokenizer(" ".join(text) if spaced else text, return_tensors="pt")
    with torch.no_grad():
        states = network(**given, output_hidden_states=True).hidden_states[layer][0].numpy()
    return states[:-1] if spaced else states[1:-1]  # </s> alone, or <cls> and <eos>


@pytest.fixture
def batches(monkeypatch):
    """The sequences of every batch that a model has read."""
    seen: list[list[str]] = []
    real = code._states

    def counted(model, pieces, layer):
        seen.append([piece.text for piece in pieces])
        return real(model, pieces, layer)

    monkeypatch.setattr(code, "_states", counted)
    return seen


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 70, 8_192])
def test_the_mean_is_that_of_a_slow_obvious_twin_at_any_batch_size(esm, batch):
    seqs = proteins()
    found = embed(seqs, esm, batch=batch)
    twin = np.stack([states_by_hand(esm, text).mean(axis=0) for text in seqs])
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, twin, **CLOSE)
    assert (found.layer, found.precision, len(found.digest)) == (2, "float32", 64)
    assert found.notes == ()


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -2, -3])
def test_any_layer_is_the_hidden_state_of_that_number(esm, layer):
    found = embed(["MKVLA"], esm, layer=layer)
    np.testing.assert_allclose(found.vectors[0], states_by_hand(esm, "MKVLA", layer).mean(axis=0), **CLOSE)
    assert found.layer == layer % 3


def test_a_row_does_not_depend_on_the_order_or_on_its_neighbours(esm):
    seqs = proteins()
    whole, turned = embed(seqs, esm), embed(seqs[::-1], esm)
    np.testing.assert_allclose(turned.vectors[::-1], whole.vectors, **CLOSE)
    alone = np.concatenate([embed([text], esm).vectors for text in seqs])
    np.testing.assert_allclose(alone, whole.vectors, **CLOSE)


def test_residues_are_those_of_the_twin_and_their_mean_is_the_embedding(esm):
    seqs = proteins()
    found = embed_residues(seqs, esm, batch=100)
    for text, rows in zip(seqs, found.residues, strict=True):
        assert rows.shape == (len(text), 16)
        np.testing.assert_allclose(rows, states_by_hand(esm, text), **CLOSE)
    means = np.stack([rows.mean(axis=0) for rows in found.residues])
    np.testing.assert_allclose(means, embed(seqs, esm).vectors, **CLOSE)


def test_a_masked_residue_is_read_as_x_and_not_taken_into_the_mean(esm):
    found = embed(["MKXLB", "MK"], esm, unknown="mask")
    rows = states_by_hand(esm, "MKXLX")
    np.testing.assert_allclose(found.vectors[0], rows[[0, 1, 3]].mean(axis=0), **CLOSE)
    assert found.notes[-1] == "2 residues in 1 sequence read as X, and left out of the means"
    np.testing.assert_allclose(embed_residues(["MKXLB"], esm, unknown="mask").residues[0], rows, **CLOSE)


def test_left_out_sequences_are_told_and_kept_says_which_rows_there_are(esm):
    found = embed(["MK", "MX", "LA"], esm, unknown="drop")
    assert found.kept.tolist() == [0, 2]
    assert found.vectors.shape == (2, 16)
    assert found.notes == ("left out for 'X': 1 character in 1 sequence (first: sequence 2 at 2)",)


def test_no_sequence_gives_no_row(esm):
    assert embed([], esm).vectors.shape == (0, 16)
    assert embed_residues([], esm).residues == ()


def test_repeats_are_read_once_and_told(esm, batches):
    found = embed(["MKV", "LA", "mkv"], esm)
    assert sorted(itertools.chain(*batches)) == ["LA", "MKV"]
    assert (found.vectors[0] == found.vectors[2]).all()
    assert found.notes[-1] == "1 of 3 sequences are repeats of others and were read once"


def test_batches_hold_at_most_the_tokens_asked_for_and_pad_little(esm, batches):
    seqs = proteins(40)
    embed(seqs, esm, batch=150)
    sizes = [[len(text) + 2 for text in batch] for batch in batches]
    assert all(len(some) * max(some) <= 150 for some in sizes)
    padded = sum(len(some) * max(some) for some in sizes)
    assert padded < 1.2 * sum(map(sum, sizes))
    assert [max(some) for some in sizes] == sorted((max(some) for some in sizes), reverse=True)


def test_progress_counts_distinct_sequences(esm):
    seen = []
    embed(["MKV", "LA", "MKV"], esm, batch=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]


# --- windows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 3, 7, 60])
def test_windows_cover_every_residue_and_share_a_quarter(window):
    for length in range(1, 200):
        cuts = windows(length, window)
        assert cuts[0][0] == 0
        assert cuts[-1][1] == length
        if len(cuts) > 1:
            assert all(stop - start == window for start, stop in cuts)
        assert all(one[1] - two[0] >= window // 4 for one, two in itertools.pairwise(cuts))


def windowed_by_hand(model: Path, text: str, window: int) -> np.ndarray:
    total, count = np.zeros((len(text), 16)), np.zeros((len(text), 1))
    for start, stop in windows(len(text), window):
        total[start:stop] += states_by_hand(model, text[start:stop])
        count[start:stop] += 1
    return total / count


@pytest.mark.parametrize("window", [None, 20])
def test_a_long_sequence_is_read_in_windows_averaged_by_residue_and_told(esm, window):
    long = "".join(proteins(8, seed=3, longest=60))
    seqs = ["MKV", long, long[:15] + "X" + long[16:]]
    found = embed(seqs, esm, window=window, unknown="mask", batch=100)
    rows = windowed_by_hand(esm, long, window or LONGEST)
    np.testing.assert_allclose(found.vectors[1], rows.mean(axis=0), **CLOSE)
    np.testing.assert_allclose(embed_residues([long], esm, window=window).residues[0], rows, **CLOSE)
    rows = np.delete(windowed_by_hand(esm, seqs[2], window or LONGEST), 15, axis=0)
    np.testing.assert_allclose(found.vectors[2], rows.mean(axis=0), **CLOSE)
    assert found.notes[-1] == (
        f"2 of 3 sequences longer than {window or LONGEST} residues (longest {len(long)}): read in windows "
        "of that many, averaged by residue where they overlap"
    )


def test_learned_positions_end_where_the_windows_do(tmp_path):
    model = save_esm(tmp_path / "esm1", positions="absolute")
    long = "MKVLA" * (LONGEST // 5)
    np.testing.assert_allclose(
        embed([long], model).vectors[0], states_by_hand(model, long).mean(0), **CLOSE
    )
    with pytest.raises(UsageError, match=r"window=61 came\. .* has positions for 60 residues"):
        embed([long], model, window=LONGEST + 1)


def test_rotary_positions_may_be_read_beyond_the_window_if_asked(esm):
    long = "MKVLA" * 20
    found = embed([long], esm, window=100)
    assert found.notes == ()
    np.testing.assert_allclose(found.vectors[0], states_by_hand(esm, long).mean(axis=0), **CLOSE)


# --- the cache ------------------------------------------------------------------------------------


def test_the_cache_gives_what_was_computed_bit_by_bit_and_no_model_runs(esm, tmp_path, batches):
    seqs = [*proteins(), "MKVLA" * 30]
    first = embed(seqs, esm, cache=tmp_path / "cache")
    batches.clear()
    second = embed(seqs[::-1], esm, cache=tmp_path / "cache", batch=7)
    assert batches == []
    assert (second.vectors[::-1] == first.vectors).all()
    assert second.notes[-1] == f"{len(seqs)} distinct sequences found in the cache"
    residues = [embed_residues(seqs, esm, cache=tmp_path / "cache").residues for _ in range(2)]
    assert all((one == two).all() for one, two in zip(*residues, strict=True))


def test_a_run_that_was_stopped_is_taken_up_and_no_sequence_is_read_twice(esm, tmp_path, batches):
    seqs = proteins(20)

    def stop(done, total):
        if done >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(seqs, esm, batch=1, cache=tmp_path, progress=stop)
    found = embed(seqs, esm, batch=1, cache=tmp_path)
    assert sorted(itertools.chain(*batches)) == sorted(set(seqs))
    np.testing.assert_allclose(found.vectors, embed(seqs, esm).vectors, **CLOSE)


def test_a_run_that_is_killed_outright_keeps_what_was_written(esm, tmp_path):
    program = (
        "import os, importlib; m = importlib.import_module('leastwise.sequences.embed')\n"
        "import leastwise.sequences.embedded_cache as c; c.SHARD_SECONDS = 0.0\n"
        "stop = lambda done, total: os._exit(9) if done >= 5 else None\n"
        f"m.embed({proteins(20)!r}, {str(esm)!r}, batch=1, cache={str(tmp_path)!r}, progress=stop)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 9, run.stderr
    assert "5 distinct sequences found in the cache" in embed(proteins(20), esm, cache=tmp_path).notes


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_cache_file_is_told_and_computed_again(esm, tmp_path, damage, batches):
    seqs = proteins()
    first = embed(seqs, esm, cache=tmp_path)
    (shard,) = tmp_path.glob("*/*.safetensors")
    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.write_bytes({"flip": data, "cut": data[:-9], "empty": b""}[damage])
    batches.clear()
    again = embed(seqs, esm, cache=tmp_path)
    assert len(batches) == 1
    assert (again.vectors == first.vectors).all()
    assert again.notes == (f"1 cache file damaged (first: {shard.name}): set aside, and computed again",)
    assert embed(seqs, esm, cache=tmp_path).notes == ("12 distinct sequences found in the cache",)


def test_other_weights_layers_windows_and_precisions_do_not_find_the_cache(esm, tmp_path):
    cache, seqs = tmp_path / "cache", ["MKVLA", "LA"]
    embed(seqs, esm, cache=cache)
    other = save_esm(tmp_path / "esm", seed=1)
    for model, asked in (
        (other, {}), (esm, {"layer": 1}), (esm, {"window": 3}), (esm, {"half": True}),
    ):  # fmt: skip
        found = embed(seqs, model, cache=cache, **asked)
        assert not any("cache" in note for note in found.notes)
        assert (found.vectors == embed(seqs, model, **asked).vectors).all()
    assert embed(seqs, esm).digest != embed(seqs, other).digest


def test_the_digest_is_of_the_content_and_not_of_the_path(esm, tmp_path):
    twin = save_esm(tmp_path / "elsewhere")
    assert embed(["MK"], twin).digest == embed(["MK"], esm).digest


def test_a_cache_that_cannot_be_made_is_refused(esm, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Name another folder"):
        embed(["MK"], esm, cache=tmp_path / "file")


# --- the model ------------------------------------------------------------------------------------


@pytest.fixture
def loads(monkeypatch):
    """What was loaded, in order: folders, each with its device."""
    seen: list[tuple[str, str]] = []
    real = language._load

    def counted(transformers, source, here, place, half):
        seen.append((source, place))
        return real(transformers, source, here, place, half)

    monkeypatch.setattr(language, "_load", counted)
    return seen


@pytest.mark.parametrize("asked", [{}, {"layer": 0}, {"layer": 1, "window": 20}, {"batch": 60}])
@pytest.mark.parametrize("kind", ["esm", "t5"])
def test_a_loaded_model_gives_the_bits_of_its_folder_however_often_it_is_used(request, kind, asked):
    folder, seqs = request.getfixturevalue(kind), [*proteins(), "MKVLA" * 30, "MKX"]
    model = load_model(folder)
    for _ in range(2):
        one, two = (embed(seqs, by, unknown="mask", **asked) for by in (model, folder))
        assert (one.vectors == two.vectors).all()
        assert (one.model, one.layer, one.precision, one.digest, one.notes) == (
            two.model, two.layer, two.precision, two.digest, two.notes,
        )  # fmt: skip
        rows = [embed_residues(seqs, by, unknown="mask", **asked).residues for by in (model, folder)]
        assert all((mine == its).all() for mine, its in zip(*rows, strict=True))


def test_a_loaded_model_is_loaded_once_and_a_folder_each_time(esm, loads):
    model = load_model(esm, device="cpu")
    for text in ("MK", "LA", "MKV"):
        embed([text], model)
        embed_residues([text], model)
    assert loads == [(str(esm), "cpu")]
    embed(["MK"], esm)
    embed_residues(["MK"], str(esm))
    assert len(loads) == 3


def test_a_loaded_model_and_its_folder_share_the_cache(esm, tmp_path, batches):
    first = embed(["MKV", "LA"], esm, cache=tmp_path)
    batches.clear()
    second = embed(["LA", "MKV"], load_model(esm), cache=tmp_path)
    assert batches == []
    assert (second.vectors[::-1] == first.vectors).all()
    assert second.notes == ("2 distinct sequences found in the cache",)


def test_a_loaded_model_says_what_it_is_in_one_line(esm):
    model = load_model(esm, half=True, local=True)
    assert (model.name, model.layers, model.width) == (str(esm), 2, 16)
    assert (model.precision, model.device) == ("bfloat16", "cpu")
    assert embed(["MK"], model).notes == ("computed in bfloat16 on cpu: about 3 digits",)
    said = "layers=2, width=16, precision='bfloat16')"
    assert repr(model) == f"LanguageModel(name={str(esm)!r}, digest={model.digest!r}, {said}"


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ({"device": "cpu"}, "device='cpu'"),
        ({"half": False}, "half=False"),
        ({"half": True, "local": True}, "half=True"),
        ({"local": True}, "local=True"),
    ],
)
def test_what_loading_settles_is_refused_beside_a_loaded_model(esm, asked, first):
    model = load_model(esm)
    for verb in (embed, embed_residues):
        with pytest.raises(UsageError) as caught:
            verb(["MK"], model, **asked)
        assert str(caught.value) == (
            f"{first} came beside '{esm}', which is loaded, in float32 on cpu. Loading settles that. Leave "
            "it out, or pass it to load_model."
        )


@pytest.mark.parametrize(
    ("model", "came"),
    [
        (3, "3"),
        (None, "None"),
        (b"esm", "b'esm'"),
        (["facebook/esm2_t6_8M_UR50D"], r"\['facebook/esm2_t6_8M_UR50D'\]"),
        (torch.nn.Sequential(torch.nn.Linear(2, 2)), "<Sequential>"),  # shown, it has several lines
        (LanguageModel, "<type>"),
    ],
)
def test_what_is_neither_a_path_nor_a_model_is_refused_before_sequences_are_read(model, came):
    words = rf"^model={came} came\. A folder or a name on the Hugging Face hub is needed\. Pass one; embed"
    for verb in (embed, embed_residues):
        with pytest.raises(UsageError, match=words):
            verb(iter(lambda: pytest.fail("a sequence was read"), 0), model)
    with pytest.raises(UsageError, match=words):
        load_model(model)


def test_a_model_is_not_loaded_from_a_loaded_one(esm):
    with pytest.raises(UsageError, match=r"came, loaded already\. .* Pass this one to embed as it is\."):
        load_model(load_model(esm))


def test_options_of_reading_are_refused_beside_a_loaded_model_as_beside_its_folder(esm):
    model = load_model(esm)
    for asked in ({"layer": 3}, {"layer": "last"}, {"batch": 0}, {"window": 2.5}, {"unknown": "guess"}):
        with pytest.raises(UsageError, match="came") as mine:
            embed(["MK"], model, **asked)
        with pytest.raises(UsageError, match="came") as its:
            embed(["MK"], esm, **asked)
        assert str(mine.value) == str(its.value)


def test_a_device_that_gives_nothing_back_is_refused(esm):
    with pytest.raises(UsageError, match=r"^device='meta' came: .* Pass 'cpu', 'cuda' or 'mps'\."):
        load_model(esm, device="meta")
    assert load_model(esm, device=torch.device("cpu")).device == "cpu"


def test_half_precision_agrees_to_two_digits_and_is_told(esm):
    seqs = proteins()
    half, full = embed(seqs, esm, half=True), embed(seqs, esm)
    assert half.precision == "bfloat16"
    assert half.vectors.dtype == np.float32
    # bfloat16 has 8 bits, 2.4 digits; two layers and norms lose some of the last.
    assert np.abs(half.vectors - full.vectors).max() < 0.05 * np.abs(full.vectors).max()
    assert half.notes == ("computed in bfloat16 on cpu: about 3 digits",)


def test_an_encoder_of_t5_is_read_with_spaces_and_without_its_decoder(t5):
    seqs = proteins(5)
    found = embed(seqs, t5, batch=60)
    twin = np.stack([states_by_hand(t5, text, spaced=True).mean(axis=0) for text in seqs])
    np.testing.assert_allclose(found.vectors, twin, **CLOSE)
    long = "MKVLA" * 300  # relative positions: no window
    assert embed([long], t5).notes == ()
    np.testing.assert_allclose(
        embed([long], t5, layer=1).vectors[0], states_by_hand(t5, long, 1, spaced=True).mean(0), **CLOSE
    )


def test_nothing_global_is_changed(esm):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.is_grad_enabled()
    dtype, state = torch.get_default_dtype(), torch.get_rng_state()
    embed(["MK"], esm, half=True)
    assert before == (logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.is_grad_enabled())
    assert torch.get_default_dtype() == dtype
    assert torch.equal(torch.get_rng_state(), state)


def test_loading_says_nothing_of_its_own(esm, t5, capfd):
    embed(["MK"], esm)
    embed(["MK"], t5)
    assert capfd.readouterr() == ("", "")


def test_weights_that_are_missing_are_never_made_up(tmp_path):
    model = save_esm(tmp_path / "esm")
    from safetensors.numpy import load_file

    tensors = load_file(model / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(StoreError, match=r"lacks 1 tensor of its weights \(first: 'encoder.layer.1.output"):
        embed(["MK"], model)


@pytest.mark.parametrize("damage", ["no weights", "cut weights", "no config", "bad config", "own code"])
def test_a_model_that_cannot_be_loaded_is_told_in_our_words(tmp_path, damage):
    model = save_esm(tmp_path / "esm")
    weights, config = model / "model.safetensors", model / "config.json"
    if damage == "no weights":
        weights.unlink()
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:500])
    elif damage == "no config":
        config.unlink()
    elif damage == "bad config":
        config.write_text("{")
    else:
        said = json.loads(config.read_text()) | {"model_type": "mine", "auto_map": {"AutoConfig": "a.B"}}
        config.write_text(json.dumps(said))
    with pytest.raises(StoreError, match=r"cannot be loaded: .* is needed. Check them.") as caught:
        embed(["MK"], model)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_model_that_does_not_read_letters_is_refused(tmp_path):
    model = save_esm(tmp_path / "esm")
    words = [word if len(word) > 1 else f"x{word}" for word in VOCABULARY.split()]
    (model / "vocab.txt").write_text("\n".join(words))
    with pytest.raises(StoreError, match="does not read each amino acid as one token"):
        embed(["MK"], model)


def test_a_missing_model_is_told_quickly_whether_or_not_there_is_a_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(DataError, match=r"on this machine, and .* cannot be reached .*pass their folder\."):
        embed(["MK"], "nobody/no_such_model")
    with pytest.raises(DataError, match=r"no folder, and none fetched before\. A folder or a name"):
        embed(["MK"], "nobody/no_such_model", local=True)
    with pytest.raises(DataError, match=r"There is no folder './no_such'"):
        embed(["MK"], "./no_such")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"layer": 3}, r"layer=3 came\. .* has 0 \(its input\) to 2\. Pass one, or -1"),
        ({"layer": -4}, "layer=-4 came"),
        ({"batch": 0}, "batch=0 came. A whole number is needed"),
        ({"window": 2.5}, "window=2.5 came. A whole number is needed"),
        ({"device": "gpu"}, "device='gpu' came"),
        ({"unknown": "expected"}, "has no mean of two letters"),
        ({"unknown": "guess"}, "unknown='guess' came"),
    ],
)
def test_options_out_of_range_are_refused(esm, asked, words):
    for verb in (embed, embed_residues):
        with pytest.raises(UsageError, match=words):
            verb(["MK"], esm, **asked)


def test_an_unknown_option_is_refused(esm):
    with pytest.raises(UsageError, match=r"no option 'layr'. Did you mean 'layer'"):
        embed_residues(["MK"], esm, layr=1)


def test_sequences_that_are_wrong_are_refused_before_a_model_is_loaded():
    with pytest.raises(SequenceError, match="stand for none of the twenty"):
        embed(["MKX"], "no/model")
    with pytest.raises(SequenceError, match=r"\(first: sequence 2\) every residue is masked"):
        embed(["MK", "XX"], "no/model", unknown="mask")


def test_states_that_are_not_finite_are_refused(tmp_path):
    model = save_esm(tmp_path / "esm")
    from safetensors.numpy import load_file

    tensors = load_file(model / "model.safetensors")
    tensors["encoder.emb_layer_norm_after.bias"][:] = np.nan
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"not finite, in float32.* Load it with half=False\."):
        embed(["MK"], model)


def test_the_missing_extra_is_named(esm, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'leastwise\[embed\]'"):
        embed(["MK"], esm)


def test_importing_is_light():
    names = ("torch", "transformers", "h5py", "safetensors", "pandas", "polars")
    probe = f"import leastwise.embedding, sys; print([n for n in {names} if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"


# --- embeddings computed elsewhere ----------------------------------------------------------------

IDS = ["P1", "P2", "P/3"]
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def write(path: Path, vectors=X, ids=IDS) -> Path:
    """The same vectors in any format."""
    kind = path.name.partition(".")[2]
    if kind == "npy":
        np.save(path, vectors)
    elif kind == "each.npz":
        np.savez(path, **dict(zip(ids, vectors, strict=True)))
    elif kind == "npz":
        np.savez(path, vectors=vectors, ids=np.array(ids))
    elif kind == "h5":
        h5py = pytest.importorskip("h5py", reason="the extra 'embed' is not installed")
        with h5py.File(path, "w") as file:
            for i, (one, row) in enumerate(zip(ids, vectors, strict=True)):
                file.create_dataset(str(i), data=row).attrs["original_id"] = one
    elif kind == "list.parquet":
        rows = [None if row is None else list(map(float, row)) for row in vectors]
        pq.write_table(pa.table({"id": ids, "e": pa.array(rows, pa.list_(pa.float32()))}), path)
    elif kind == "fixed.parquet":
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        pq.write_table(pa.table({"name": ids, "e": column}), path)
    elif kind == "parquet":
        columns = {f"e{j}": column for j, column in enumerate(vectors.T)}
        pq.write_table(pa.table({"id": ids, **columns}), path)
    elif kind == "matrix.safetensors":
        save_file({"vectors": vectors}, path, {"ids": json.dumps(ids)})
    else:
        save_file({one: np.ascontiguousarray(row) for one, row in zip(ids, vectors, strict=True)}, path)
    return path


KINDS = [
    "npz",
    "each.npz",
    "h5",
    "list.parquet",
    "fixed.parquet",
    "parquet",
    "safetensors",
    "matrix.safetensors",
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_vectors_by_id(tmp_path, kind):
    read = read_embeddings(write(tmp_path / f"a.{kind}"))
    assert sorted(read.ids) == sorted(IDS)
    assert read.vectors.dtype == np.float32
    joined = read.joined(["P/3", "P1", "P1", "P9", None])
    np.testing.assert_array_equal(joined.vectors, np.vstack([X[[2, 0, 0]], np.full((2, 4), np.nan)]))
    assert joined.found.tolist() == [True, True, True, False, False]
    assert joined.missing == ("P9", "None")
    assert joined.unused == ("P2",)
    assert joined.notes[1] == f"1 id of {read.source} not asked for: 'P2'"


def test_vectors_by_position_take_ids_that_are_given(tmp_path):
    path = write(tmp_path / "a.npy")
    plain, named = read_embeddings(path), read_embeddings(path, ids=IDS)
    assert plain.ids is None
    assert named.ids == tuple(IDS)
    with pytest.raises(UsageError, match="Joining needs ids"):
        plain.joined(IDS)
    with pytest.raises(UsageError, match="2 ids came for 3 rows"):
        read_embeddings(path, ids=IDS[:2])
    with pytest.raises(UsageError, match="has ids of its own"):
        read_embeddings(write(tmp_path / "a.npz"), ids=IDS)


def test_rows_of_residues_are_averaged_and_told(tmp_path):
    h5py = pytest.importorskip("h5py", reason="the extra 'embed' is not installed")
    residues = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["P1"], file["group/P2"] = X[0], residues
    read = read_embeddings(tmp_path / "a.h5")
    assert dict(zip(read.ids, range(2), strict=True)).keys() == {"P1", "group/P2"}
    np.testing.assert_allclose(
        read.joined(["group/P2"]).vectors[0], residues.astype(float).mean(0), rtol=1e-6
    )
    assert read.notes == ("1 protein of 2 came by residue (7 to 7 rows) and were averaged",)


def test_bfloat16_is_read_and_digits_of_float64_are_kept(tmp_path):
    from safetensors.torch import save_file as save_torch

    save_torch({"P1": torch.tensor([1.0, 2.5], dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    assert read_embeddings(tmp_path / "a.safetensors").vectors.tolist() == [[1.0, 2.5]]
    np.save(tmp_path / "a.npy", np.array([[0.1]]))
    assert read_embeddings(tmp_path / "a.npy").vectors.tolist() == [[0.1]]


@pytest.mark.parametrize("kind", ["npz", "h5", "list.parquet", "parquet", "matrix.safetensors"])
def test_doubled_ids_and_numbers_that_are_none_are_refused_with_values(tmp_path, kind):
    with pytest.raises(
        DataError, match=r"1 id of .* more than once \(first: 'P1', as number 1, 3, beginning"
    ):
        read_embeddings(write(tmp_path / f"a.{kind}", ids=["P1", "P2", "P1"]))
    odd = X.copy()
    odd[1, 2] = np.nan
    with pytest.raises(MissingError, match=r"1 embedding of 3 in .* not finite: 'P2'"):
        read_embeddings(write(tmp_path / f"b.{kind}", odd))


@pytest.mark.parametrize("kind", ["each.npz", "h5", "list.parquet", "safetensors"])
def test_unequal_dimensions_are_refused_with_the_ids(tmp_path, kind):
    with pytest.raises(DataError, match=r"not of \d numbers, as the first is: 'P"):
        read_embeddings(write(tmp_path / f"a.{kind}", [X[0], X[1, :3], X[2]]))


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(MissingError, match=r"1 row of .* row 2"):
        read_embeddings(write(tmp_path / "a.list.parquet", [X[0], None, X[2]]))


@pytest.mark.parametrize("kind", ["npy", *KINDS])
def test_files_that_are_cut_short_are_told_in_our_words(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ParseError, match="cannot be read as"):
        read_embeddings(path)


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ParseError, match="no pickled objects"):
        read_embeddings(tmp_path / "a.npy")
    with pytest.raises(UsageError, match="ending that says nothing"):
        read_embeddings(tmp_path / "a.pkl")
    with pytest.raises(DataError, match="There is no file"):
        read_embeddings(tmp_path / "b.npy")


@pytest.mark.parametrize(
    "values",
    [np.zeros(3), np.zeros((2, 3, 4)), np.zeros((0, 3)), np.zeros((3, 0)), np.array([["a"]]), 1j * X],
)
def test_arrays_of_other_shapes_and_kinds_are_refused(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match=r"needed|numbers"):
        read_embeddings(tmp_path / "a.npy")


def test_a_table_without_numbers_or_with_two_columns_of_text_is_refused(tmp_path):
    pq.write_table(pa.table({"a": ["x"], "b": ["y"], "e": [1.0]}), tmp_path / "a.parquet")
    with pytest.raises(ColumnError, match="2 columns of text: 'a' and 'b'"):
        read_embeddings(tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(ColumnError, match="0 columns of lists and 0 of numbers"):
        read_embeddings(tmp_path / "b.parquet")


def test_ids_that_never_meet_are_refused():
    with pytest.raises(DataError, match=r"None of 1 id is in a file \(first here: 'Q', there: 'P'\)"):
        Embeddings("a file", ("P",), np.ones((1, 1)), ()).joined(["Q"])


# --- tables ---------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,sequence,y\nP1,MKV,1.50\nP2,,2\nP9,LA,3\n")
    return path


def test_a_table_is_written_again_with_the_numbers_of_a_model(esm, table, tmp_path):
    told = embed_file(table, str(tmp_path / "b.parquet"), model=esm, layer=1)
    found = pq.read_table(tmp_path / "b.parquet")
    assert found.schema.names == ["id", "sequence", "y", *(f"e{j}" for j in range(16))]
    assert found["y"].to_pylist() == ["1.50", "2", "3"]
    vectors = embed(["MKV", "LA"], esm, layer=1).vectors
    np.testing.assert_array_equal(found["e3"].to_pylist(), [vectors[0, 3], None, vectors[1, 3]])
    assert told == [
        f"{esm}, layer 1, float32",
        "1 row without a sequence left empty",
        "16 columns for 3 rows",
    ]


def test_a_table_is_written_again_with_embeddings_from_elsewhere(table, tmp_path):
    path, output = write(tmp_path / "e.npz"), tmp_path / "b.csv"
    told = embed_file(table, str(output), embeddings=path)
    lines = output.read_text().splitlines()
    assert lines[0] == "id,sequence,y,e0,e1,e2,e3"
    assert [np.float32(cell) for cell in lines[2].split(",")[3:]] == X[1].tolist()
    assert lines[3] == "P9,LA,3,,,,"
    assert told[-2:] == ["1 row without an embedding left empty", "4 columns for 3 rows"]
    assert told[0] == f"1 id not in {path}: 'P9'"
    positions = embed_file(table, str(tmp_path / "c.csv"), embeddings=write(tmp_path / "e.npy"))
    assert positions[0] == "joined by position"


def test_a_table_and_embeddings_that_do_not_go_together_are_refused(esm, table, tmp_path):
    output, arrays = str(tmp_path / "b.csv"), write(tmp_path / "e.npy")
    np.save(tmp_path / "two.npy", X[:2])
    for asked, words in (
        ({}, "neither came"),
        ({"model": esm, "embeddings": arrays}, "both came"),
        ({"embeddings": arrays, "layer": 1}, "layer=... has no use here"),
        ({"embeddings": arrays, "sequence": "sequence"}, "sequence=... has no use here"),
        ({"model": esm, "id": "id"}, "id=... has no use here"),
        ({"model": esm, "unknown": "drop"}, "would leave rows out"),
        ({"embeddings": arrays, "id": "id"}, "has no ids to join column 'id' by"),
        ({"embeddings": tmp_path / "two.npy"}, "has 3 rows, .* 2 vectors without ids"),
        (
            {"embeddings": write(tmp_path / "e.npz"), "id": "di"},
            "no column 'di' of ids. There are 'id', 'sequence'",
        ),
        ({"model": esm, "sequence": "y"}, "none of the twenty"),
    ):
        with pytest.raises(LeastwiseError, match=words):
            embed_file(table, output, **asked)
        assert not Path(output).exists()
    with pytest.raises(UsageError, match="would be overwritten"):
        embed_file(table, str(table), embeddings=arrays)
    embed_file(table, output, embeddings=arrays)
    with pytest.raises(ColumnError, match="has a column 'e0' already"):
        embed_file(output, str(tmp_path / "c.csv"), embeddings=arrays)
