"""Networks of any kind: what is shared stays shared, what is special stays special, what cannot run is told of."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from metasci.errors import InputError
from metasci.meta import Network, NetworkEpisode, adapt, cross_entropy, initial
from metasci.meta.compositions import named
from metasci.meta.compositions.adapting import meta_gradient

STEP = 0.1
DRAWS = np.random.default_rng(0)


def by_hand(module: nn.Module, inputs: Tensor, targets: Tensor, steps: int) -> dict[str, Tensor]:
    """The module's weights after plain descent on one task, by torch's own optimiser."""
    optimiser = torch.optim.SGD(module.parameters(), STEP)
    for _ in range(steps):
        optimiser.zero_grad()
        (module(inputs) - targets).square().mean().backward()
        optimiser.step()
    return {name: value.detach() for name, value in module.named_parameters()}


def as_torch(
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    steps: int = 3,
    again: Callable[[], nn.Module] | None = None,
) -> Network:
    """Adapt tasks here and one by one with torch: the same weights; returns the network.

    A module that torch cannot copy is made again.
    """
    before = copy.deepcopy(module.state_dict())
    network = Network(module)
    episode = NetworkEpisode(network, inputs, targets, inputs, targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learned = initial(named.maml(steps, STEP), network.start())
        adapted = adapt(named.maml(steps, STEP), episode, learned)
        _, slopes = meta_gradient(named.maml(steps, STEP), episode, learned)
    for task in range(len(inputs)):
        expected = by_hand(again() if again else copy.deepcopy(module), inputs[task], targets[task], steps)
        for name, value in expected.items():
            torch.testing.assert_close(adapted[name][task], value, rtol=2e-4, atol=2e-6, msg=name)
    assert all(bool(torch.isfinite(slope).all()) for slope in slopes.values())
    after = module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(isinstance(value, nn.Parameter) for value in module.parameters())
    return network


def twice() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(3, 1))


class Tied(nn.Module):
    """Two layers with one weight between them, and a list that knows a layer by another way."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.down.weight = self.up.weight
        self.__dict__["order"] = [self.up, self.down]

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.order:
            inputs = torch.tanh(layer(inputs))
        made: Tensor = self.head(inputs)
        return made


class Reader(nn.Module):
    """Mean of rows by number, row 0 being padding."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 2, **options)  # type: ignore[arg-type]
        self.head = nn.Linear(2, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.head(self.embed(tokens).sum(1))
        return made


class Reads(nn.Module):
    """A recurrent layer's last state, and a head."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer, self.head = kind(2, 3, batch_first=True), nn.Linear(3, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.head(self.layer(inputs)[0][:, -1])
        return made


class Branches(nn.Module):
    """Another way for another sum."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.one(inputs) if inputs.sum() > 0 else self.other(inputs)
        return made


class Drops(nn.Module):
    """Drops out by a function, so that no layer tells of it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.head(functional.dropout(inputs, 0.5, self.training))
        return made


class DropsOnAWay(Branches):
    """The same, where tasks run one after the other."""

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.dropout(super().forward(inputs), 0.5, self.training)


class Adjacent(nn.Module):
    """A sparse matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        ring = torch.eye(len(inputs)).roll(1, 0).to_sparse()
        made: Tensor = self.head(torch.sparse.mm(ring, inputs))
        return made


class Encodes(nn.Module):
    """A transformer's layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(4, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.head(self.encoder(inputs).mean(1))
        return made


@pytest.mark.parametrize("module", [twice, Tied], ids=["a layer used twice", "two layers of one weight"])
def test_what_is_shared_moves_as_one_and_the_users_module_stays(module: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    made = module()
    inputs = torch.randn(4, 6, 3)
    network = as_torch(made, inputs, inputs.sum(-1, keepdim=True))
    assert set(network.start()) == {name for name, _ in made.named_parameters()}


def test_the_padding_row_of_an_embedding_stays_in_every_task() -> None:
    torch.manual_seed(1)
    tokens = torch.randint(1, 7, (3, 6, 5))
    tokens[:, :, 3:] = 0
    as_torch(Reader(padding_idx=0), tokens, torch.randn(3, 6, 1))
    as_torch(Reader(), tokens, torch.randn(3, 6, 1))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_run_one_task_after_the_other(kind: type[nn.RNNBase]) -> None:
    torch.manual_seed(2)
    as_torch(Reads(kind), torch.randn(3, 5, 4, 2), torch.randn(3, 5, 1), 2)


def test_a_sparse_product_is_what_it_is_in_torch() -> None:
    as_torch(Adjacent(), torch.randn(3, 5, 3), torch.randn(3, 5, 1))


def test_a_way_that_cannot_be_batched_is_told_of_once() -> None:
    torch.manual_seed(3)
    inputs = torch.randn(4, 5, 3) + torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None]
    network = Network(Branches())
    weights = {name: value.expand(4, *value.shape) for name, value in network.start().items()}
    with pytest.warns(UserWarning, match=r"Branches run one after the other") as told:
        outputs, again = (network(weights, inputs) for _ in range(2))
    assert len([one for one in told if "one after the other" in str(one.message)]) == 1
    assert torch.equal(outputs, again)
    torch.testing.assert_close(outputs, torch.stack([network.module(own) for own in inputs]))
    as_torch(Branches(), inputs, torch.randn(4, 5, 1))


def test_a_transformer_in_evaluation_is_the_one_in_training_without_dropout() -> None:
    torch.manual_seed(4)
    as_torch(Encodes().eval(), torch.randn(3, 5, 4, 4), torch.randn(3, 5, 1), 2)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (lambda: nn.Sequential(nn.Linear(1, 2), nn.Dropout(0.5)), "'1' .Dropout. drops out"),
        (lambda: nn.MultiheadAttention(2, 1, dropout=0.1), "MultiheadAttention. drops out"),
        (lambda: nn.LSTM(2, 2, num_layers=2, dropout=0.1), "LSTM. drops out"),
        (lambda: nn.Sequential(nn.RReLU()), "RReLU. drops out"),
        (lambda: Reader(max_norm=1.0), "'embed' .Embedding. shortens its own weights"),
        (lambda: Reader(scale_grad_by_freq=True), "scale_grad_by_freq"),
        (lambda: nn.Sequential(nn.EmbeddingBag(3, 2, padding_idx=0)), "padding row"),
        (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)), "power iteration"),
        (lambda: nn.utils.spectral_norm(nn.Linear(2, 2)), "power iteration"),
    ],
)  # fmt: skip
def test_layers_that_do_more_than_compute_are_refused_by_name(
    module: Callable[[], nn.Module], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Network(module())


def test_hooks_on_gradients_are_refused_and_others_are_heeded() -> None:
    layer = nn.Linear(2, 2)
    layer.weight.register_hook(lambda slope: 0.0 * slope)
    with pytest.raises(InputError, match=r"'weight' of the layer '0' .Linear. has a hook"):
        Network(nn.Sequential(layer))
    other = nn.Sequential(nn.Linear(2, 2))
    other[0].register_full_backward_hook(lambda *_: None)
    with pytest.raises(InputError, match=r"hooks on its gradients"):
        Network(other)
    doubled = nn.Sequential(nn.Linear(2, 1))
    doubled[0].register_forward_hook(lambda _, __, output: 2.0 * output)
    network, inputs = Network(doubled), torch.randn(1, 3, 2)
    start = {name: value[None] for name, value in network.start().items()}
    torch.testing.assert_close(network(start, inputs)[0], doubled(inputs[0]))


def test_spectral_norm_in_evaluation_adapts_as_torch_does() -> None:
    torch.manual_seed(5)
    module = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2)), nn.Tanh(), nn.Linear(2, 1)
    )
    as_torch(module.eval(), torch.randn(3, 5, 3), torch.randn(3, 5, 1))


@pytest.mark.parametrize("make", [Drops, DropsOnAWay])
def test_a_function_that_drops_out_is_refused_in_training_and_runs_in_evaluation(
    make: Callable[[], nn.Module],
) -> None:
    inputs = torch.randn(2, 4, 3)
    network = Network(make())
    weights = {name: value.expand(2, *value.shape) for name, value in network.start().items()}
    with pytest.raises(InputError, match=f"{make.__name__} draws at random"):
        network(weights, inputs)
    as_torch(make().eval(), inputs, torch.randn(2, 4, 1))


class Does(nn.Module):
    """Whatever is said, with a layer of three inputs and one output."""

    def __init__(self, what: Callable[[nn.Module, Tensor], object], **others: object) -> None:
        super().__init__()
        self.what, self.layer = what, nn.Linear(3, 1)
        for name, other in others.items():
            setattr(self, name, other)

    def forward(self, inputs: Tensor) -> object:
        return self.what(self, inputs)


def counted(self: Does, inputs: Tensor) -> Tensor:
    """A number of the object's own, which every call raises."""
    self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
    return self.layer(inputs) * self.__dict__["calls"]


def counted_in_a_buffer(self: Does, inputs: Tensor) -> Tensor:
    self.calls = self.calls + 1.0
    return self.layer(inputs) * self.calls


def anew(self: Does, inputs: Tensor) -> Tensor:
    return self.layer(checkpoint(self.deep, inputs, use_reentrant=False))


def anew_with_its_inputs(self: Does, inputs: Tensor) -> Tensor:
    return self.layer(checkpoint(self.deep, inputs.detach().clone().requires_grad_(), use_reentrant=True))


def anew_beside_a_recurrent_layer(self: Does, inputs: Tensor) -> Tensor:
    return self.layer(self.recurrent(checkpoint(self.deep, inputs, use_reentrant=False))[0])


def deep() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))


def differentiated(module: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """A meta-gradient of it, whatever torch warns of on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, composition = Network(module), named.maml(2, STEP)
        episode = NetworkEpisode(network, inputs, targets, inputs, targets)
        meta_gradient(composition, episode, initial(composition, network.start()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Does(counted), "remembers what it was called with"),
        (lambda: Does(counted_in_a_buffer, calls=nn.Buffer(torch.zeros(()))), "changes its 'calls'"),
        (lambda: Does(lambda m, x: m.layer(x) + DRAWS.random()), "draws at random"),
        (lambda: Does(lambda m, x: m.layer(x) + random.random()), "draws at random"),
        (lambda: Does(lambda m, x: m.layer(x.mul_(2.0))), "changes its inputs in place"),
        (lambda: Does(anew, deep=deep()), "anew in the backward pass"),
        (lambda: Does(anew_with_its_inputs, deep=deep()), "anew in the backward pass"),
        (
            lambda: Does(anew_beside_a_recurrent_layer, deep=deep(), recurrent=nn.LSTM(3, 3)),
            "anew in the backward pass",
        ),
        (lambda: Does(lambda m, x: (m.layer(x), x)), "gives a tuple"),
        (lambda: Does(lambda m, x: {"y": m.layer(x)}), "gives a dict"),
        (lambda: Does(lambda m, x: None), "gives nothing"),
        (
            lambda: nn.Sequential(nn.Linear(4, 1)),
            r"'0', Linear\(in_features=4.* cannot take inputs of float32 2×4×3",
        ),
        (
            lambda: nn.Linear(3, 1, dtype=torch.float64),
            "weights of float64 2×3×1 on cpu, cannot take inputs of float32",
        ),
        (
            lambda: Does(lambda m, x: m.layer(m.bag((x > 0).long())), bag=nn.EmbeddingBag(2, 3, mode="mean")),
            "first-order meta-gradient",
        ),
        (lambda: Does(lambda m, x: m.layer(x.numpy() * m.layer.weight.item())), "fails at task 0"),
    ],
)
def test_what_cannot_be_repeated_or_differentiated_is_said_in_a_sentence(
    make: Callable[[], nn.Module], words: str
) -> None:
    """By whatever way: no error of torch reaches the user, and nothing of the user's is changed."""
    torch.manual_seed(7)
    inputs, targets, module = torch.randn(2, 4, 3), torch.randn(2, 4, 1), make()
    before, state = inputs.clone(), copy.deepcopy(module.state_dict())
    with pytest.raises(InputError, match=words):
        differentiated(module, inputs, targets)
    assert torch.equal(inputs, before)
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())


def test_a_bag_of_rows_adapts_in_first_order() -> None:
    torch.manual_seed(8)
    module = Does(lambda m, x: m.layer(m.bag(x)), bag=nn.EmbeddingBag(7, 3))
    tokens, targets = torch.randint(0, 7, (3, 5, 4)), torch.randn(3, 5, 1)
    network, composition = Network(module), named.fomaml(2, STEP)
    episode = NetworkEpisode(network, tokens, targets, tokens, targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, slopes = meta_gradient(composition, episode, initial(composition, network.start()))
        adapted = adapt(composition, episode, initial(composition, network.start()))
    for task in range(3):
        one = copy.deepcopy(module)
        for name, value in by_hand(one, tokens[task], targets[task], 2).items():
            torch.testing.assert_close(adapted[name][task], value)
    assert float(slopes["bag.weight"].abs().max()) > 0.0


def weight_norm() -> nn.Module:
    torch.manual_seed(9)
    return nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 1))


def pruned() -> nn.Module:
    torch.manual_seed(9)
    layer = nn.Linear(3, 4)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(4, 1))


@pytest.mark.parametrize("make", [weight_norm, pruned])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_made_anew_before_each_call_adapt_as_torch_does(make: Callable[[], nn.Module]) -> None:
    """Which torch itself cannot copy."""
    as_torch(make(), torch.randn(3, 5, 3), torch.randn(3, 5, 1), again=make)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.LazyLinear(3), "has no shape yet"),
        (lambda: nn.Linear(3, 1, device="meta"), "has no values"),
        (lambda: torch.jit.script(nn.Linear(3, 1)), "TorchScript"),
        (lambda: nn.Sequential(nn.Embedding(3, 2, sparse=True)), "'0' .Embedding. has sparse gradients"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_weights_that_cannot_be_taken_are_refused_by_name(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Network(make())


def test_recurrent_layers_leave_the_settings_of_torch_and_no_warning_of_their_own() -> None:
    torch.manual_seed(2)
    network, inputs = Network(Reads(nn.LSTM)), torch.randn(2, 5, 4, 2)
    weights = {name: value.expand(2, *value.shape) for name, value in network.start().items()}
    settings = torch._C._get_mkldnn_enabled(), torch._C._get_onednn_allow_tf32()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        network(weights, inputs)
        network(weights, inputs)
    assert [str(one.message)[:28] for one in told] == ["tasks of the network Reads r"]
    assert (torch._C._get_mkldnn_enabled(), torch._C._get_onednn_allow_tf32()) == settings


def test_a_network_that_fails_is_named_with_what_torch_said() -> None:
    network = Network(nn.Sequential(nn.Conv1d(2, 1, 3)))
    weights = {name: value.expand(2, *value.shape) for name, value in network.start().items()}
    with pytest.raises(InputError, match=r"the network Sequential fails at task 0: .*channels"):
        network(weights, torch.zeros(2, 4, 3, 5))


def halves(cases: int = 4, tasks: int = 3) -> Tensor:
    return torch.linspace(-1.0, 1.0, tasks * cases * 3).reshape(tasks, cases, 3)


MISFITS = {
    "no tasks": (dict.fromkeys(("inputs", "query_inputs"), halves(tasks=0)), r"of 3 tasks, and inputs of shape"),
    "other tasks": ({"query_inputs": halves(tasks=2)}, r"query has targets of 3 tasks, and inputs of shape \(2, 4"),
    "a mask of other cases": ({"mask": torch.ones(3, 5, dtype=torch.bool)}, r"mask is to be \(3, 4\) of bool"),
    "a mask of numbers": ({"query_mask": torch.ones(3, 4)}, r"query's mask .* of torch.float32"),
    "targets of NumPy": ({"targets": np.zeros((3, 4, 1))}, r"support's targets are to be a tensor"),
    "a mean over all": ({"loss": lambda o, t, m: (o - t).square().mean()}, r"one number for each of 3 tasks, .*\(\)"),
    "none over cases": ({"loss": lambda o, t, m: (o - t).square()}, r"one number for each of 3 tasks, .*\(3, 4, 1\)"),
    "classes as fractions": ({"loss": cross_entropy, "targets": torch.zeros(3, 4)}, r"whole numbers of classes"),
    "a class too many": (
        {"loss": cross_entropy, "targets": torch.ones(3, 4, dtype=torch.long)}, r"from 0 to 0.* the greatest of them 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("module", [nn.Linear(3, 1), nn.Sequential(nn.Linear(3, 1), nn.LayerNorm(1))])
@pytest.mark.parametrize("what", MISFITS)
def test_an_episode_that_does_not_fit_together_says_where(what: str, module: nn.Module) -> None:
    """For networks of both ways; a loss over tasks would divide every step by their number without a word."""
    others, words = MISFITS[what]
    network, composition = Network(module), named.maml(1, STEP)
    given = {"inputs": halves(), "targets": torch.zeros(3, 4, 1), "query_inputs": halves()}
    given |= {"query_targets": torch.zeros(3, 4, 1)}

    def used() -> None:
        meta_gradient(
            composition, NetworkEpisode(network, **(given | others)), initial(composition, network.start())
        )

    with pytest.raises(InputError, match=words):
        used()


@pytest.mark.parametrize("cases", [0, 4])
def test_a_query_without_cases_asks_nothing(cases: int) -> None:
    """Its loss is no part of the mean, and not a number either; a support without cases moves nothing."""
    torch.manual_seed(10)
    network, composition = Network(nn.Linear(3, 1)), named.maml(1, STEP)
    empty, full = (halves(0), torch.zeros(3, 0, 1)), (halves(4), torch.ones(3, 4, 1))
    asked = empty if cases == 0 else full
    episode = NetworkEpisode(network, *empty, *asked)
    learned = initial(composition, network.start())
    loss, slopes = meta_gradient(composition, episode, learned)
    adapted = adapt(composition, episode, learned)
    assert all(torch.equal(adapted[name], value.expand(3, *value.shape)) for name, value in learned.items())
    assert bool(torch.isfinite(loss).all())
    assert (float(slopes["weight"].abs().max()) > 0.0) is (cases > 0)


class ReadsAndAttends(nn.Module):
    """A recurrent layer, for which tasks run one after the other, before attention."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = nn.LSTM(1, 4, batch_first=True)
        self.attends = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen, _ = self.reads(x)
        return self.head(self.attends(seen[None], seen[None], seen[None], need_weights=False)[0][0])


def test_attention_has_second_derivatives_where_tasks_run_in_turn() -> None:
    """The meta-gradient against differences: torch's quick ways to attend have first derivatives only."""
    torch.manual_seed(11)
    network, composition = Network(ReadsAndAttends().double()), named.maml(2, STEP)
    x, y = torch.randn(3, 6, 1, dtype=torch.float64), torch.randn(3, 6, 1, dtype=torch.float64)
    episode = NetworkEpisode(network, x[:, :4], y[:, :4], x[:, 4:], y[:, 4:])
    learned, apart = network.start(), 1e-6

    def moved(by: float) -> Tensor:
        shifted = {**learned, "head.bias": learned["head.bias"] + by}
        return meta_gradient(composition, episode, shifted)[0].mean()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slope = meta_gradient(composition, episode, learned)[1]["head.bias"]
        expected = (moved(apart) - moved(-apart)) / (2.0 * apart)
    assert float(slope) == pytest.approx(float(expected), rel=1e-6)


def test_operations_that_torch_loops_over_are_not_announced_to_the_user() -> None:
    """Two tasks through a bilinear layer, for which `vmap` has no rule of its own."""
    network = Network(nn.Sequential(Squared(), nn.Linear(3, 1)))
    weights = {name: value.expand(2, *value.shape) for name, value in network.start().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outputs = network(weights, halves(tasks=2))
    torch.testing.assert_close(outputs, torch.stack([network.module(own) for own in halves(tasks=2)]))


class Squared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Bilinear(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x)


def test_a_meta_gradient_is_had_under_no_grad_and_refused_under_inference_mode() -> None:
    torch.manual_seed(12)
    network, composition = Network(nn.Linear(3, 1)), named.maml(2, STEP)
    episode = NetworkEpisode(network, halves(), torch.ones(3, 4, 1), halves(), torch.ones(3, 4, 1))
    _, expected = meta_gradient(composition, episode, network.start())
    with torch.no_grad():
        _, slopes = meta_gradient(composition, episode, network.start())
    assert all(torch.equal(slopes[name], slope) for name, slope in expected.items())
    with torch.inference_mode(), pytest.raises(InputError, match=r"leave `torch\.inference_mode\(\)`"):
        meta_gradient(composition, episode, network.start())
    with torch.inference_mode():
        made = halves()
    with pytest.raises(InputError, match=r"the support has tensors that were made under"):
        NetworkEpisode(network, made, torch.ones(3, 4, 1), halves(), torch.ones(3, 4, 1))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: named.anil(2, 0.1), "frozen: 2 does not say what stays"),
        (lambda: named.maml(2.5, 0.1), "steps: 2.5 is not a number of steps"),
        (lambda: named.maml("2", 0.1), "steps: '2' is not a number of steps"),
        (lambda: named.maml(2, "0.1"), "step_size: '0.1' is not a step size"),
        (lambda: Network(torch.tanh), "made of a torch.nn.Module, not of a builtin_function_or_method"),
        (lambda: empty_handed(), "no weight that could be adapted or learned"),
    ],
)
def test_settings_that_are_none_are_refused_in_a_sentence(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def empty_handed() -> None:
    """A network without weights."""
    network = Network(nn.Tanh())
    episode = NetworkEpisode(network, halves(), halves(), halves(), halves())
    meta_gradient(named.maml(1, STEP), episode, network.start())


def test_one_beginning_of_a_name_may_stand_for_a_tuple_of_them() -> None:
    assert named.anil("body.", 2, 0.1) == named.anil(("body.",), 2, 0.1)
