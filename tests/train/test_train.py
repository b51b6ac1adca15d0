import json
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from mien.card import CARD_KEY, ModelCard  # noqa: E402
from mien.data.arrays import load_images  # noqa: E402
from mien.data.corpus import Corpus  # noqa: E402
from mien.errors import ConfigError, TrainingError  # noqa: E402
from mien.files import lock  # noqa: E402
from mien.labels import EMOTIONS  # noqa: E402
from mien.nets import NETS, count_multiply_adds, count_parameters, make_net  # noqa: E402
from mien.nets.compact import Compact, CompactOptions  # noqa: E402
from mien.train.augment import AugmentOptions, augment  # noqa: E402
from mien.train.export import fold  # noqa: E402
from mien.train.faces import as_tensor, vote_shares  # noqa: E402
from mien.train.loop import (  # noqa: E402
    CHECKPOINT,
    LOCK,
    LOG,
    LoopOptions,
    TrainingTask,
    average,
    cosine,
    soft_cross_entropy,
    train,
)
from mien.types import Sample  # noqa: E402

TINY = CompactOptions(stem=4, widths=(4, 8, 8), blocks=(1, 1, 1))
STILL = AugmentOptions(0, 0, 0, 0, 0, 0, 0, 0, 0)


def learn(net, images, targets, generator):
    return soft_cross_entropy(net(augment(images, generator, AugmentOptions())), targets)


def tiny_task(loss=learn):
    draw = torch.Generator().manual_seed(7)
    images = torch.randint(0, 256, (64, 1, 48, 48), generator=draw).to(torch.uint8)
    kinds = torch.randint(0, 8, (64,), generator=draw)
    images[torch.arange(64), 0, kinds * 6] = 255  # a bright row at a height that tells the kind
    return TrainingTask(
        images=images,
        targets=torch.nn.functional.one_hot(kinds, 8).float(),
        loss=loss,
        judge=lambda net: {"weights": sum(float(p.sum()) for p in net.parameters())},
    )


def tiny_net():
    torch.manual_seed(3)
    return Compact(TINY)


OPTIONS = LoopOptions(epochs=3, batch=16, rate=0.02, warmup=1)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The network of a whole run with `OPTIONS`."""
    return train(tiny_net(), tiny_task(), OPTIONS, tmp_path_factory.mktemp("unbroken"))


def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(unbroken, tmp_path):
    def kill(line):
        if line["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_net(), tiny_task(), OPTIONS, tmp_path / "b", kill)
    resumed = train(tiny_net(), tiny_task(), OPTIONS, tmp_path / "b")
    assert all(torch.equal(w, resumed.state_dict()[name]) for name, w in unbroken.state_dict().items())
    lines = [json.loads(line) for line in (tmp_path / "b" / LOG).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[2]["loss"] < lines[0]["loss"]


def test_a_mapped_set_is_learnt_from_as_the_pictures_that_it_holds(tmp_path):
    pixels = tiny_task().images[:, 0].numpy()
    corpus = Corpus("tiny", tuple(Sample(str(i)) for i in range(64)), lambda one: pixels[int(one.name)])
    assert torch.equal(as_tensor(load_images(corpus, cache=tmp_path)), as_tensor(pixels))


def test_the_seed_decides_the_run(unbroken, tmp_path):
    other = train(tiny_net(), tiny_task(), replace(OPTIONS, seed=1), tmp_path)
    assert not torch.equal(unbroken.state_dict()["head.3.weight"], other.state_dict()["head.3.weight"])


def test_a_checkpoint_that_is_damaged_or_of_another_network_is_named(tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=r"expected a checkpoint"):
        train(tiny_net(), tiny_task(), OPTIONS, tmp_path)
    train(tiny_net(), tiny_task(), LoopOptions(epochs=1, batch=16), tmp_path / "other")
    with pytest.raises(TrainingError, match="does not fit"):
        train(Compact(), tiny_task(), OPTIONS, tmp_path / "other")


def test_two_processes_never_train_in_one_folder(tmp_path):
    with lock(tmp_path / LOCK), pytest.raises(TrainingError, match="another process"):
        train(tiny_net(), tiny_task(), OPTIONS, tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()
    train(tiny_net(), tiny_task(), replace(OPTIONS, epochs=1), tmp_path)  # the file of the lock stays


def test_too_few_pictures_for_a_batch(tmp_path):
    with pytest.raises(TrainingError, match="at least one batch of 128 pictures, got 64"):
        train(tiny_net(), tiny_task(), LoopOptions(epochs=1), tmp_path)


def test_augmentation_with_every_reach_at_zero_changes_at_most_the_side():
    images = torch.rand(8, 1, 48, 48) * 255
    out = augment(images, torch.Generator().manual_seed(0), STILL)
    for a, b in zip(images, out, strict=True):
        assert torch.allclose(a, b, atol=0.05) or torch.allclose(a.flip(2), b, atol=0.05)


def augmented(images, seed=1):
    return augment(images, torch.Generator().manual_seed(seed), AugmentOptions())


def test_augmentation_keeps_shape_and_range_and_follows_its_generator():
    images = torch.rand(16, 1, 48, 48) * 255
    one = augmented(images)
    assert one.shape == images.shape
    assert 0 <= one.min() <= one.max() <= 255
    assert torch.equal(one, augmented(images))
    assert not torch.equal(one, augmented(images, seed=2))


def test_shift_moves_by_the_share_it_names():
    images = torch.zeros(200, 1, 48, 48)
    images[:, :, 24, 24] = 255
    moved = augment(images, torch.Generator().manual_seed(0), AugmentOptions(0, 0, 0, 0.1, 0, 0, 0, 0, 0))
    rows = moved.sum((1, 3)).argmax(1)
    assert (rows - 24).abs().max() in (4, 5)  # a tenth of 48


def test_cosine_starts_warm_peaks_and_ends_at_nothing():
    rates = [cosine(i, 100, peak=0.1, warmup=10) for i in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 1e-4


def test_soft_cross_entropy_against_a_naive_sum():
    logits, target = torch.randn(5, 8), torch.softmax(torch.randn(5, 8), 1)
    z, t = logits.double().numpy(), target.double().numpy()
    naive = -(t * (z - np.log(np.exp(z).sum(1, keepdims=True)))).sum(1).mean()
    assert float(soft_cross_entropy(logits, target)) == pytest.approx(naive, rel=1e-5)


def test_average_moves_by_one_less_decay():
    slow, fast = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    expected = 0.9 * slow.weight + 0.1 * fast.weight
    average(slow, fast, 0.9)
    assert torch.allclose(slow.weight, expected)


def test_every_network_takes_gray_levels_and_gives_eight_logits():
    for name in NETS:
        with torch.device("meta"):  # shapes alone
            assert make_net(name).eval()(torch.zeros(2, 1, 48, 48)).shape == (2, len(EMOTIONS)), name


def test_the_compact_network_keeps_to_its_budget():
    folded = fold(Compact())
    assert count_parameters(folded) < 2_000_000
    assert count_multiply_adds(folded) < 80_000_000


def test_folding_the_norms_changes_no_number():
    net = tiny_net()
    net.train()(torch.rand(8, 1, 48, 48) * 255)  # move the running statistics off their start
    images = torch.rand(4, 1, 48, 48) * 255
    with torch.no_grad():
        expected, folded = net.eval()(images), fold(net)
        assert torch.allclose(folded(images), expected, atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for _, m in folded.named_modules() if m is not folded)


def test_the_exported_file_gives_torchs_numbers_at_any_batch_and_holds_its_card(exported):
    net, path = exported
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, 3):
        images = torch.rand(n, 1, 48, 48) * 255
        with torch.no_grad():
            expected = net.eval()(images).numpy()
        assert np.allclose(session.run(None, {"input": images.numpy()})[0], expected, atol=1e-4)
    card = ModelCard.from_json(session.get_modelmeta().custom_metadata_map[CARD_KEY])
    assert card.name == "bands"
    assert len(card.template) == 5
    assert list(path.parent.iterdir()) == [path]
    assert b".py" not in path.read_bytes(), "no source path of the machine that exported it"


def test_vote_shares_drop_single_votes_unless_nothing_else_is_there():
    shares = vote_shares(
        (
            Sample("a", (4, 0, 1, 0, 4, 0, 1, 0)),
            Sample("b", (1, 1, 0, 0, 0, 0, 0, 0)),
            Sample("c", (0,) * 8, unknown=10),
        )
    )
    assert shares.tolist() == [[0.5, 0, 0, 0, 0.5, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0, 0, 0], [0] * 8]


def test_bfloat16_learns_nearly_the_same_and_keeps_float32_weights(unbroken, tmp_path):
    rough = train(tiny_net(), tiny_task(), replace(OPTIONS, precision="bfloat16"), tmp_path)
    assert {p.dtype for p in rough.parameters()} == {torch.float32}
    far = [float((a - b).abs().max()) for a, b in zip(unbroken.parameters(), rough.parameters(), strict=True)]
    assert 0 < max(far) < 0.1


def test_a_card_tells_how_long_a_run_learned():
    assert replace(OPTIONS, seed=4).arguments(3) == "--seed 4 --epochs 3"
    early = replace(OPTIONS, precision="bfloat16").arguments(2)
    assert early == "--seed 0 --epochs 3 --precision bfloat16, stopped after 2 epochs"


def test_an_unknown_precision_lists_the_known():
    with pytest.raises(ConfigError, match="expected one of float32, bfloat16, got 'float16'"):
        LoopOptions(precision="float16")


def test_a_long_gradient_is_cut_to_the_length_that_is_followed(tmp_path):
    def steep(net, images, targets, generator):
        return 1e3 * learn(net, images, targets, generator)

    moved = []
    start = dict(tiny_net().named_parameters())
    for clip in (0.0, 1.0):
        options = replace(OPTIONS, epochs=1, warmup=0, clip=clip)
        net = train(tiny_net(), tiny_task(steep), options, tmp_path / str(clip))
        moved.append(max(float((p - start[name]).detach().norm()) for name, p in net.named_parameters()))
    assert moved[1] < 1 < moved[0]


@pytest.mark.parametrize(
    ("step", "fault", "said"),
    [
        (6, lambda _: float("nan"), "loss became nan in epoch 2"),
        # at the last step: the root of nothing is nothing, and infinitely steep
        (
            8,
            lambda net: torch.sqrt(next(net.parameters()).sum() * 0),
            r"stem\.0\.weight became .* in epoch 2",
        ),
    ],
    ids=["loss in the middle of an epoch", "gradient at its end"],
)
def test_what_is_not_finite_stops_the_run_and_never_reaches_a_checkpoint(step, fault, said, tmp_path):
    calls = []

    def breaks(net, images, targets, generator):
        calls.append(1)
        loss = learn(net, images, targets, generator)
        return loss + fault(net) if len(calls) == step else loss

    with pytest.raises(TrainingError, match=said):
        train(tiny_net(), tiny_task(breaks), OPTIONS, tmp_path)
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert len(saved["lines"]) == 1
    assert all(torch.isfinite(value).all() for value in saved["net"].values() if value.is_floating_point())


def test_under_autocast_augmentation_and_loss_stay_in_float32():
    images, target = torch.rand(16, 1, 48, 48) * 255, torch.softmax(torch.randn(16, 8), 1)
    logits, plain = torch.randn(16, 8), augmented(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augmented(images), plain)
        rough = soft_cross_entropy(logits.bfloat16(), target)
    assert rough == soft_cross_entropy(logits.bfloat16().float(), target)
