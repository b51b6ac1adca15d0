import copy
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from mien.nets import count_multiply_adds, count_parameters  # noqa: E402
from mien.paper.networks import (  # noqa: E402
    AutoencoderThenCNN,
    ConvolutionalAutoencoder,
    DenseAutoencoder,
    OneForEachEmotion,
    PaperCNN,
    fit_pca,
)
from mien.paper.pretrain import (  # noqa: E402
    MaskedLoss,
    PretrainOptions,
    UnitLoss,
    corrupt,
    draw_visible,
    pretrain,
    pretrain_each,
)
from mien.paper.training import OneAgainstRest  # noqa: E402
from mien.train.loop import orthogonalize  # noqa: E402


@pytest.fixture
def pictures():
    """64 smooth pictures, which an autoencoder can learn: (64, 1, 48, 48) uint8."""
    coarse = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 255
    return torch.nn.functional.interpolate(coarse, 48, mode="bicubic").clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("nodes", [300, 500])
def test_the_papers_autoencoders_have_one_hidden_layer_of_300_and_500(nodes):
    net = DenseAutoencoder((nodes,))
    assert count_parameters(net) == 2 * 2304 * nodes + nodes + 2304
    assert net.encode(torch.zeros(2, 1, 48, 48)).shape == (2, nodes)
    assert net(torch.zeros(2, 1, 48, 48)).shape == (2, 1, 48, 48)


def test_a_dense_unit_is_a_leaky_relu_of_slope_a_hundredth_that_bends_again_at_black_and_white():
    net = DenseAutoencoder((5,))
    torch.nn.init.normal_(net.units[0].decoder.weight)  # so that some pixels pass black and white
    images = torch.rand(3, 1, 48, 48) * 255
    x = (images.reshape(3, -1) - 127.5) / 64
    h = x @ net.units[0].encoder.weight.T + net.units[0].encoder.bias
    h = torch.where(h > 0, h, 0.01 * h)
    y = (h @ net.units[0].decoder.weight.T + net.units[0].decoder.bias) * 64 + 127.5
    assert (y < 0).any()
    assert (y > 255).any()
    y = torch.where(y < 0, 0.01 * y, torch.where(y > 255, 255 + 0.01 * (y - 255), y))
    assert torch.allclose(net(images), y.view(3, 1, 48, 48), atol=1e-2)


def test_a_dense_unit_that_starts_at_pca_restores_what_numpys_pca_does(pictures):
    net = DenseAutoencoder((6,))
    UnitLoss(net, 1).start_at_pca(pictures)
    flat = pictures.flatten(1).double().numpy()
    mean = flat.mean(0)
    axes = np.linalg.svd(flat - mean, full_matrices=False)[2][:6]
    expected = (flat - mean) @ axes.T @ axes + mean
    generated = net(pictures.float()).flatten(1).detach().numpy()
    inside = (expected > 0) & (expected < 255)
    assert np.abs(generated - expected)[inside].max() < 0.1
    assert (net.encode(pictures.float()) >= -1e-3).all(), "every node starts where it is linear"


def test_principal_components_are_the_same_from_rows_and_from_their_covariance(pictures):
    def narrow(images):
        return images[:, 0, ::8, ::8].flatten(1)  # (B, 36): fewer numbers than pictures

    from_covariance = fit_pca(pictures, narrow, 4)
    from_rows = fit_pca(pictures[:36], narrow, 36)
    rows = narrow(pictures.float())
    assert torch.allclose(from_rows.project(rows[:36]), rows[:36], atol=0.05)
    centred = (rows - rows.mean(0)).double()
    best = (centred - centred @ (v := torch.linalg.svd(centred)[2][:4].T) @ v.T).square().sum()
    assert (from_covariance.project(rows) - rows).square().sum() == pytest.approx(float(best), rel=1e-3)


def test_an_autoencoder_that_started_at_pca_stays_below_its_error(pictures, tmp_path):
    net = DenseAutoencoder((6,))
    pretrain(net, pictures, PretrainOptions(epochs=20, batch=16, rate=0.001, start="pca"), tmp_path)
    flat = pictures.float().flatten(1)
    floor = (fit_pca(pictures, lambda x: x.flatten(1), 6).project(flat).clamp(0, 255) - flat).square().mean()
    assert (net(pictures.float()).flatten(1).clamp(0, 255) - flat).square().mean() < floor


@pytest.mark.parametrize("make", [lambda: DenseAutoencoder((2,)), lambda: PaperCNN(2, classes=1)])
def test_each_of_eight_networks_is_given_every_picture(make):
    members = [make() for _ in range(8)]
    images = torch.rand(3, 1, 48, 48) * 255
    joined = OneForEachEmotion(members)(images)
    assert joined.shape[:2] == (3, 8)
    assert torch.equal(joined[:, 4:5], members[4](images))


def test_the_papers_network_has_the_layers_of_section_3():
    net = PaperCNN()
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.stride) for c in convolutions] == [
        (512, (side, side), (1, 1)) for side in (5, 5, 3)
    ]
    pools = [type(m).__name__ for m in net.modules() if "Pool" in type(m).__name__]
    assert pools == ["AvgPool2d", "MaxPool2d", "MaxPool2d"]
    assert sum(isinstance(m, torch.nn.Linear) for m in net.modules()) == 2
    assert count_multiply_adds(net) == pytest.approx(4.2e9, rel=0.02)  # issue 3: 4.2 G a picture


def test_the_network_on_generated_pictures_never_moves_the_autoencoder():
    net = AutoencoderThenCNN(DenseAutoencoder((4,)), PaperCNN(width=2))
    torch.nn.init.normal_(net.classifier.last.weight)
    net(torch.rand(2, 1, 48, 48) * 255).sum().backward()
    assert all(p.grad is None for p in net.autoencoder.parameters())
    assert all(p.grad is not None for p in net.classifier.parameters())


@pytest.mark.parametrize(
    "net", [DenseAutoencoder((24, 12)), ConvolutionalAutoencoder(PaperCNN(4))], ids=["dense", "conv"]
)
def test_greedy_learning_moves_one_unit_at_a_time(net):
    unit = UnitLoss(net, 2).train()
    images = torch.rand(8, 1, 48, 48) * 255
    unit(images, images).backward()
    moved = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert moved
    assert all(name.startswith("units.1.") for name in moved)


@pytest.mark.parametrize(
    ("make", "corruption", "stages"),
    [
        (lambda: DenseAutoencoder((24, 12)), "none", 2),
        (lambda: ConvolutionalAutoencoder(PaperCNN(4)), "noise", 4),
        (lambda: ConvolutionalAutoencoder(PaperCNN(8)), "mask", 1),
    ],
)
def test_pretraining_lowers_the_error_and_goes_on_where_it_stopped(
    make, corruption, stages, pictures, tmp_path
):
    rate = 0.1 if corruption == "mask" else 0.02
    options = PretrainOptions(corruption, epochs=2, batch=8, rate=rate, start="random")
    torch.manual_seed(0)
    net = make()
    lines = []
    pretrain(net, pictures, options, tmp_path, lines.append)
    losses = [line["loss"] for line in lines]
    assert len(losses) == 2 * stages
    assert all(losses[i + 1] < losses[i] for i in range(0, len(losses), 2))
    torch.manual_seed(0)
    again = pretrain(make(), pictures, options, tmp_path, lines.append)
    assert len(lines) == 2 * stages, "a finished run has nothing left to learn"
    for name, value in again.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name


def test_masks_hide_the_share_of_patches_they_name():
    seen = draw_visible(torch.zeros(50, 1, 48, 48), torch.Generator().manual_seed(0), 0.6)
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    assert (seen == 0).float().mean() == pytest.approx(0.6, abs=0.03)
    patches = seen.view(50, 6, 8, 6, 8)
    assert torch.equal(patches.amax((2, 4)), patches.amin((2, 4)))


def test_a_masked_stack_sees_nothing_of_what_is_hidden_and_is_judged_by_it_alone():
    net = MaskedLoss(ConvolutionalAutoencoder(PaperCNN(4))).eval()
    one = torch.rand(4, 1, 48, 48) * 255
    seen = draw_visible(one, torch.Generator().manual_seed(0), 0.5)
    other = torch.where(seen == 1, one, torch.rand(one.shape) * 255)  # differs where it is hidden
    assert torch.equal(net.net.encode(one, visible=seen), net.net.encode(other, visible=seen))
    assert net(one, one, seen) != net(other, one, seen)
    shown_differs = torch.where(seen == 1, torch.rand(one.shape) * 255, one)
    assert net(one, one, seen) == net(shown_differs, one, seen)


def test_noise_has_the_deviation_it_names():
    options = PretrainOptions("noise", deviation=25.0)
    noisy, visible = corrupt(torch.zeros(20, 1, 48, 48), torch.Generator().manual_seed(0), options)
    assert float(noisy.std()) == pytest.approx(25, rel=0.02)
    assert visible is None
    images = torch.rand(2, 1, 48, 48)
    assert corrupt(images, torch.Generator(), PretrainOptions())[0] is images


def test_the_stack_learns_the_networks_own_layers(pictures, tmp_path):
    net = PaperCNN(4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pretrain(
        ConvolutionalAutoencoder(net), pictures, PretrainOptions(epochs=1, batch=16, rate=0.01), tmp_path
    )
    for name, value in net.state_dict().items():
        moved = not torch.equal(value, before[name])
        assert moved == name.startswith("layers."), f"{name}: all but the last layer"


def test_half_of_a_batch_shows_the_emotion_and_half_the_others_evenly_as_often_as_people_said():
    votes = torch.zeros(40, 8)
    votes[:9, 0] = votes[9:38, 1] = 1  # 9 of one emotion, 29 of another
    votes[38, 2], votes[38, 0] = 0.75, 0.25
    votes[39, 3] = 1
    images = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1)
    task = OneAgainstRest(images, votes, None, None, length=6000, emotion=0)
    shown = [
        (int(i), int(t))
        for x, y in task.batches(60, torch.Generator().manual_seed(0))
        for i, t in zip(x, y, strict=True)
    ]
    positive = Counter(i for i, truth in shown if truth)
    negative = Counter(i for i, truth in shown if not truth)
    assert sum(positive.values()) == sum(negative.values()) == 3000
    assert set(positive) == {*range(9), 38}, "a quarter of the votes counts a quarter"
    assert positive[38] == pytest.approx(3000 * 0.25 / 9.25, abs=35)
    of_each = [sum(n for i, n in negative.items() if votes[i, k]) for k in (1, 2, 3)]
    assert of_each == [1000, 1000, 1000], "each other emotion as often, however many pictures it has"


@pytest.mark.parametrize("hidden", [(6,), (6, 5)])
def test_autoencoders_side_by_side_learn_what_each_learns_alone(hidden, pictures, tmp_path):
    options = PretrainOptions(epochs=3, batch=8, rate=0.01, optimizer="muon", draws=32)
    own = [pictures[:20], pictures[20:]]

    def make():
        torch.manual_seed(0)
        return [DenseAutoencoder(hidden) for _ in own]

    together, alone = make(), make()
    pretrain_each(together, own, options, tmp_path / "both")
    # the first is drawn first, so that alone it is shown the same pictures
    pretrain_each(alone[:1], own[:1], options, tmp_path / "first")
    for name, value in alone[0].state_dict().items():
        assert torch.allclose(together[0].state_dict()[name], value, atol=1e-4), name
    started = make()[1].state_dict()
    assert all(not torch.equal(together[1].state_dict()[name], value) for name, value in started.items())


def test_a_shared_start_is_one_that_learned_all_pictures_before_each_learns_its_own(pictures, tmp_path):
    options = PretrainOptions(epochs=4, batch=8, rate=0.01, start="shared", optimizer="adamw", draws=32)
    own = [pictures[:20], pictures[20:]]
    torch.manual_seed(0)
    shared, *others = nets = [DenseAutoencoder((6, 5)) for _ in own]
    before = copy.deepcopy(shared)
    pretrain_each(nets, own, options, tmp_path / "both")
    pretrain(before, pictures, options, tmp_path / "first")
    after = replace(options, epochs=1, rate=0.001, start="random")
    alone = [before, copy.deepcopy(before)]
    pretrain_each(alone, own, after, tmp_path / "then")
    for one, other in zip(nets, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert options.count_epochs(2) == 4 + 2 * 1
    again = [DenseAutoencoder((6, 5)) for _ in own]
    pretrain_each(again, own, options, tmp_path / "both")  # it is done, and is only loaded
    assert torch.equal(again[1](pictures.float()), others[0](pictures.float()))


def test_orthogonalized_rows_are_nearly_orthonormal():
    matrix = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrix))
    assert ((values > 0.6) & (values < 1.3)).all()
    assert torch.allclose(orthogonalize(matrix.mT), orthogonalize(matrix).mT, atol=1e-5)


@pytest.mark.parametrize(
    "net",
    [
        PaperCNN(4),
        AutoencoderThenCNN(DenseAutoencoder((5,)), PaperCNN(4)),
        ConvolutionalAutoencoder(PaperCNN(4)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_forward_pass_costs_what_torch_counts(net):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 1, 48, 48))
    assert count_multiply_adds(net) == pytest.approx(counter.get_total_flops() / 2, rel=0.005)
