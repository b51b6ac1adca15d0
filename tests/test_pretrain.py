import pytest

torch = pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from mien.nets.conv_stack import ConvStack, EncoderClassifier  # noqa: E402
from mien.nets.count import multiply_adds, parameters  # noqa: E402
from mien.nets.dense import DenseAutoencoder, EmotionAutoencoders  # noqa: E402
from mien.nets.paper import OnGenerated, PaperCNN  # noqa: E402
from mien.nets.stack import add_noise, mask_patches  # noqa: E402
from mien.train.pretrain import Greedy, PretrainOptions, corrupt, pretrain  # noqa: E402

OPTIONS = PretrainOptions(epochs=3, batch=16, rate=0.05)


@pytest.fixture
def pictures():
    """64 smooth pictures, which an autoencoder can learn: (64, 1, 48, 48) uint8."""
    coarse = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 255
    return torch.nn.functional.interpolate(coarse, 48, mode="bicubic").clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(
    ("hidden", "weights"),
    [((300,), 2 * 2304 * 300 + 300 + 2304), ((500,), 2 * 2304 * 500 + 500 + 2304)],
)
def test_the_papers_autoencoders_have_one_hidden_layer_of_300_and_500(hidden, weights):
    net = DenseAutoencoder(hidden)
    assert parameters(net) == weights
    assert net.encode(torch.zeros(2, 1, 48, 48)).shape == (2, *hidden)
    assert net(torch.zeros(2, 1, 48, 48)).shape == (2, 1, 48, 48)


def test_a_dense_unit_is_a_leaky_relu_of_slope_a_hundredth_and_a_linear_layer():
    net = DenseAutoencoder((5,))
    images = torch.rand(3, 1, 48, 48) * 255
    x = images.reshape(3, -1) / 255
    h = x @ net.units[0].encoder.weight.T + net.units[0].encoder.bias
    h = torch.where(h > 0, h, 0.01 * h)
    y = h @ net.units[0].decoder.weight.T + net.units[0].decoder.bias
    assert torch.allclose(net(images), y.view(3, 1, 48, 48) * 255, atol=1e-2)


def test_one_autoencoder_an_emotion_reconstructs_every_picture_with_each():
    members = [DenseAutoencoder((2,)) for _ in range(8)]
    images = torch.rand(3, 1, 48, 48) * 255
    generated = EmotionAutoencoders(members)(images)
    assert generated.shape == (3, 8, 48, 48)
    assert torch.equal(generated[:, 4:5], members[4](images))


def test_the_papers_network_has_the_layers_of_section_3():
    net = PaperCNN()
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.stride) for c in convolutions] == [
        (512, (5, 5), (1, 1)),
        (512, (5, 5), (1, 1)),
        (512, (3, 3), (1, 1)),
    ]
    assert [type(m).__name__ for m in net.modules() if "Pool" in type(m).__name__] == [
        "AvgPool2d",
        "MaxPool2d",
        "MaxPool2d",
    ]
    assert sum(isinstance(m, torch.nn.Linear) for m in net.modules()) == 2
    assert multiply_adds(net) == pytest.approx(4.2e9, rel=0.02)  # issue 3: 4.2 G a picture


def test_the_network_on_generated_pictures_never_moves_the_autoencoder():
    net = OnGenerated(DenseAutoencoder((4,)), PaperCNN(width=2))
    net(torch.rand(2, 1, 48, 48) * 255).sum().backward()
    assert all(p.grad is None for p in net.autoencoder.parameters())
    assert all(p.grad is not None for p in net.classifier.parameters())


@pytest.mark.parametrize("net", [DenseAutoencoder((24, 12)), ConvStack((4, 8))], ids=["dense", "conv"])
def test_greedy_learning_moves_one_unit_at_a_time(net):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    unit = Greedy(net, 2).train()
    images = torch.rand(8, 1, 48, 48) * 255
    unit(images, images).backward()
    moved = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert moved
    assert all(name.startswith("units.1.") for name in moved)
    for name, value in net.state_dict().items():
        if name.startswith("units.0."):
            assert torch.equal(value, before[name]), f"{name} of the unit that is held still"


@pytest.mark.parametrize("corruption", ["none", "noise", "mask"])
@pytest.mark.parametrize("make", [lambda: DenseAutoencoder((24, 12)), lambda: ConvStack((4, 8))])
def test_pretraining_lowers_the_error_and_goes_on_where_it_stopped(make, corruption, pictures, tmp_path):
    options = PretrainOptions(corruption, epochs=3, batch=16, rate=0.05)
    torch.manual_seed(0)
    net = make()
    lines = []
    pretrain(net, pictures, options, tmp_path, lines.append)
    first = [line["loss"] for line in lines[:3]]
    assert first[-1] < first[0]
    assert len(lines) == 6  # two units of three epochs
    torch.manual_seed(0)
    again = pretrain(make(), pictures, options, tmp_path, lines.append)
    assert len(lines) == 6, "a finished run has nothing left to learn"
    for name, value in again.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name


def test_masks_hide_the_share_of_patches_they_name():
    images = torch.zeros(50, 1, 48, 48)
    masked = mask_patches(images, torch.Generator().manual_seed(0), 0.6)
    assert set(masked.unique().tolist()) == {0.0, 127.5}
    assert (masked == 127.5).float().mean() == pytest.approx(0.6, abs=0.03)
    patches = masked.view(50, 6, 8, 6, 8)
    assert torch.equal(patches.amax((2, 4)), patches.amin((2, 4)))


def test_noise_has_the_deviation_it_names():
    noisy = add_noise(torch.zeros(20, 1, 48, 48), torch.Generator().manual_seed(0), 25.0)
    assert float(noisy.std()) == pytest.approx(25, rel=0.02)
    images = torch.rand(2, 1, 48, 48)
    assert torch.equal(corrupt(images, torch.Generator(), PretrainOptions()), images)


def test_the_encoders_are_the_first_layers_of_the_classifier():
    stack = ConvStack((4, 8))
    net = EncoderClassifier(stack)
    assert net(torch.zeros(3, 1, 48, 48)).shape == (3, 8)
    names = dict(net.named_parameters())
    assert names["stack.units.0.encoder.weight"] is stack.units[0].encoder.weight
