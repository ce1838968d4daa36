"""What a data set, a model and a metric must offer.

A plugin is one file in `datasets/`, `models/` or `benchmark/metrics/` that defines a class named `Dataset`,
`Model` or `Metric` derived from the one here. `tests/` runs one suite of contract tests over all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from benchmark.errors import UserError, unknown
from benchmark.schema import GenerationSettings, Reference, Report, Study

if TYPE_CHECKING:
    import numpy as np

    from benchmark.images import Geometry


@dataclass(frozen=True)
class Problem:
    """One thing that `Dataset.check` found."""

    what: str
    """A sentence: what is wrong and where."""
    fatal: bool
    """True where the data set cannot be used until it is put right."""


LEAVABLE = frozenset({"texts", "images", "values"})
"""What a data set may let off the machine: report texts, pictures, values of single studies. Aggregates always may."""


class Dataset(ABC):
    """Studies and their reference reports, read from a root."""

    VERSION: ClassVar[str]
    LICENCE: ClassVar[str]
    SPLITS: ClassVar[tuple[str, ...]]
    """As the data set itself names them. A copy may hold fewer, see `splits`."""
    MAY_LEAVE: ClassVar[frozenset[str]]
    """Which of LEAVABLE may enter git, pages and exports."""
    OWNED: ClassVar[bool] = False
    """True where whoever has the data set owns it, and may make pages and exports for private use."""
    OPTIONS: ClassVar[Mapping[str, str]] = {}
    """What a user may choose (`--data-option key=value`), each with a sentence about it. `layout` is one of them where
    people hold the data in several forms."""
    SCRATCH: ClassVar[bool] = False
    """True where the data set is small enough that models are trained on it from scratch (see default presets)."""
    SELF_MADE: ClassVar[bool] = False
    """Whether `provide` makes the data."""
    SECOND_READER: ClassVar[bool] = False
    """Whether `second_readings` has any."""
    DAMAGE: ClassVar[frozenset[str]] = frozenset()
    """Those reasons for leaving a study out that mean a broken copy and not a rule."""
    SPLIT_ALIASES: ClassVar[Mapping[str, str]] = {"val": "validate", "validation": "validate"}

    def __init__(self, root: Path, reports_root: Path | None = None, options: Mapping[str, str] | None = None):
        """Raises UserError for an option that OPTIONS does not have."""
        self.root = root
        self.reports_root = reports_root
        self.options = dict(options or {})
        for key in self.options:
            if key not in self.OPTIONS:
                raise unknown("option of the data set", key, self.OPTIONS)

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of this variant as it stands in result paths: unlike data have unlike names."""

    @classmethod
    def provide(cls, root: Path, **options: Any) -> None:
        """Make the data at `root`; only data sets that are SELF_MADE (the phantom) do.

        What is there is kept, what an interrupted call left is completed. Raises UserError where the root holds data
        made with other options.
        """

    @classmethod
    def write_form(cls, source: Path, target: Path, form: str) -> None:
        """Write the copy at `source` in another layout to `target`; only data sets that are SELF_MADE do.

        Raises UserError for an unknown form or where `target` is not empty.
        """
        raise NotImplementedError

    @abstractmethod
    def check(self) -> list[Problem]:
        """What is missing or broken at the root, cheaply (no image is decoded)."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that this copy has, of SPLITS."""
        return self.SPLITS

    def resolve_split(self, split: str) -> str:
        """The data set's own name of a split (`val` → `validate`). Raises UserError for one that is not here."""
        name = split if split in self.splits else self.SPLIT_ALIASES.get(split, split)
        if name not in self.splits:
            aliases = [alias for alias, of in self.SPLIT_ALIASES.items() if of in self.splits]
            raise unknown("split", split, [*self.splits, *aliases])
        return name

    def short_split(self, split: str) -> str:
        """The name of a split in result paths: `val` for `validate`."""
        return "val" if self.SPLIT_ALIASES.get("val") == split else split

    @property
    def layout(self) -> str:
        """In words, the form in which the copy was recognised; empty where there is but one."""
        return ""

    @property
    def limits(self) -> tuple[str, ...]:
        """Sentences: what this form of the data cannot hold (labels, a test split, …)."""
        return ()

    @property
    def has_images(self) -> bool:
        """False for a copy of texts alone, which models that read images refuse."""
        return True

    @property
    def lists_absent_images(self) -> bool:
        """True where the release itself names images that it does not contain, so that they are no damage."""
        return False

    @property
    def official(self) -> Mapping[str, Mapping[str, int]]:
        """Published counts by split, of any of `images`, `studies`, `patients`; empty where nothing is published."""
        return {}

    @abstractmethod
    def listed(self, split: str) -> Sequence[Study]:
        """Every study that the copy lists in the split, usable or not, with all its images, sorted by study_id."""

    @abstractmethod
    def studies(self, split: str) -> Sequence[Study]:
        """The split's usable studies, sorted by study_id. Raises UserError where the root cannot be read."""

    @abstractmethod
    def references(self, split: str) -> Sequence[Reference]:
        """One reference for each of `studies(split)`, in the same order."""

    @abstractmethod
    def left_out(self, split: str) -> Mapping[str, Sequence[str]]:
        """study_ids of the split that are not among its studies, by reason."""

    def dropped(self, split: str) -> dict[str, int]:
        """How many studies of the split are left out, by reason."""
        return {reason: len(studies) for reason, studies in self.left_out(split).items()}

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        """Studies or rows that belong to no split, by reason: they are left out of all, and counted here."""
        return {}

    def augmented(self, split: str) -> Sequence[Example]:
        """Further examples for training alone (back-translations), where the user asked for them. Never scored."""
        return ()

    def canonical_id(self, given: str) -> str:
        """The study_id that a user's spelling means (`s50414267` → `50414267`); `given` itself where none is known."""
        return given

    @property
    def truth(self) -> Path | None:
        """The table of what is really on the images (`labeler.truth`); None where only readers know."""
        return None

    def second_readings(self, split: str) -> Mapping[str, str]:
        """Another radiologist's reports by study_id, where the data set has them; else empty."""
        return {}


@dataclass(frozen=True)
class Example:
    """A study with its reference: what training, and nothing else, may see together."""

    study: Study
    reference: Reference


class Judge(Protocol):
    """A metric on the validation split, all of it."""

    higher_is_better: bool

    def __call__(self, texts: Sequence[str]) -> float:
        """The value for one text for each of `TrainingJob.validation`, in order."""


def no_judge(name: str) -> Judge:
    raise UserError(f"The best checkpoint cannot be chosen by {name} here; only by loss.")


def no_checkpoint(model: str) -> Path | None:
    return None


def read_files(paths: Sequence[Path], geometry: Geometry) -> Callable[[Path], np.ndarray]:
    """Images straight from their files, each decoded whenever it is asked for. See `TrainingJob.images`."""
    return geometry.read


@dataclass(frozen=True)
class TrainingJob:
    """All that `Model.train` is given."""

    train: Sequence[Example]
    validation: Sequence[Example]
    second_readings: Mapping[str, str]
    """By study_id over all splits; empty for most data sets. Only `second-reader` uses it."""
    preset: str
    options: Mapping[str, Any]
    """The preset's values with the user's `--set` applied."""
    seed: int
    device: str
    """A torch device name."""
    output: Path
    """The checkpoint folder. What an interrupted training left in it is there when it is called again."""
    tokenize: Callable[[Sequence[str]], list[list[str]]]
    """The default protocol's tokenizer (needs Java, which it says where it is missing)."""
    report: Callable[[str], None]
    """Tells the user a line."""
    on_step: Callable[[int], None] = lambda step: None
    """Called after each optimiser step with how many are done."""
    judge: Callable[[str], Judge] = no_judge
    """By the name of a value (`cider`, `bleu_4`): what a checkpoint may be chosen by besides the loss. Raises UserError
    for an unknown name, and where it cannot be computed here."""
    checkpoint: Callable[[str], Path | None] = no_checkpoint
    """The newest finished checkpoint that another model has on this data set, by the model's name."""
    images: Callable[[Sequence[Path], Geometry], Callable[[Path], np.ndarray]] = read_files
    """Opens images: of all the files that will be asked for, the function from a path to the uint8 square (S, S), which
    raises ImageError where the file cannot be read. It may go to worker processes."""


OnText = Callable[[str], None]
"""Is told a text that grows."""


@dataclass(frozen=True)
class Looks:
    """Where a model looked for each token of a text."""

    spans: Sequence[tuple[int, int]]
    """Begin and end of the characters that each token wrote."""
    maps: np.ndarray
    """Weights (tokens, rows, columns) over the square of `benchmark.images.Geometry`."""
    keep_aspect: bool
    """How the picture lies in that square, as in Geometry."""


class Model(ABC):
    """A report-generation model: trains to a checkpoint folder, loads from it, writes reports."""

    CAN_TRAIN: ClassVar[bool] = True
    INSTANT: ClassVar[bool] = False
    """True where training takes seconds, so that `bench eval` may do it without being asked."""
    ZERO_SHOT: ClassVar[frozenset[str]] = frozenset()
    """Presets that learn nothing from the data set: no training split is asked for, and `bench eval` makes their
    checkpoint without being asked where one of them is named, or a setting."""
    NEEDS_IMAGES: ClassVar[bool] = True
    NOTE: ClassVar[str] = ""
    """What a reader of the leaderboard must know about how its reports came to be."""
    PAPER: ClassVar[str] = ""
    """Authors, year, title, where it appeared, and a link."""
    LICENCE: ClassVar[str] = "MIT"
    """Of the code, and of the weights that training begins with."""
    PARAMETERS: ClassVar[Mapping[str, int]] = {}
    """How many weights it has by preset, where that does not depend on the training texts."""
    WEIGHTS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """By preset the hub ids of the weights that training begins with; a preset that is not there needs none."""
    NEEDS: ClassVar[tuple[str, ...]] = ("training reports",)
    """In words, what is needed besides images, weights and packages; nothing is where it cannot be trained."""
    PACKAGES: ClassVar[tuple[str, ...]] = ()
    """Import names of the packages that it cannot do without and the project does not install by itself."""
    RELEASED: ClassVar[str] = ""
    """In words, the file of its authors' weights that `load_released` reads; empty where there is none."""
    TAKES_PROMPT: ClassVar[bool] = False
    """Whether `GenerationSettings.prompt` may be given."""
    PRECISIONS: ClassVar[tuple[str, ...]] = ("fp32",)
    """What `GenerationSettings.precision` may be. `generate` says where one of them is not for its device."""
    DECODINGS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named generation settings (`--decoding NAME`), such as those of its paper."""
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}
    """Named hyper-parameters, as data; image geometry among them. `views` says how many images of a study are read,
    where that is not one; `indication` whether that is read, too."""
    USES: ClassVar[tuple[str, ...]] = ()
    """What of a study's context it always reads besides the images: `indication`, `comparison`, `prior`, …"""
    PRETRAINED: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Hub ids that its presets start from, each with the patterns of the files that are read."""
    DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    """Further options, with their values where neither the preset nor the user names them."""
    SEARCH: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Where `bench train --search` looks by default, by option: see `benchmark.search.read_space`."""
    SHARED_TRAINING: ClassVar[bool] = False
    """True where `train` is to be called by every one of several processes (`benchmark.processes`), which train one
    model together; else the first does it alone."""

    @classmethod
    def uses(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """What of a study's context a model trained with these options reads, as in USES."""
        return (*cls.USES, "indication") if options.get("indication") else cls.USES

    @classmethod
    def skip(cls, dataset: Dataset) -> str:
        """Why this model does not fit the data set; empty where it does."""
        return ""

    @classmethod
    def default_preset(cls, dataset: Dataset) -> str:
        """The preset used where none is named."""
        return next(iter(cls.PRESETS))

    @classmethod
    @abstractmethod
    def train(cls, job: TrainingJob) -> None:
        """Write what `load` needs into `job.output`; called again after a kill, go on to the same result."""

    @classmethod
    @abstractmethod
    def load(cls, checkpoint: Path, device: str) -> Model:
        """The model of a checkpoint folder. Raises UserError where the folder holds something else or is cut short."""

    @classmethod
    def load_released(cls, path: Path, device: str, words: str = "") -> Model:
        """The model of a file of weights as its authors release them (see RELEASED).

        `words` is what the weights do not hold: a tokenizer (folder or hub id) or vocabulary, where it is not the usual
        one. Raises UserError where the file is another's or damaged.
        """
        name = cls.__module__.rpartition(".")[2].replace("_", "-")
        raise UserError(f"{path} is a file; {name} loads checkpoint folders only.")

    def save_checkpoint(self, folder: Path) -> None:
        """Write what `load` reads; only models with RELEASED weights need to."""
        raise NotImplementedError

    def prepare(self, study: Study) -> Any:
        """What the network sees of a study's images, for whoever calls it directly; None where that is not shown."""
        return None

    @abstractmethod
    def generate(self, studies: Sequence[Study], settings: GenerationSettings, seeds: Sequence[int]) -> list[Report]:
        """One report a study, in order. `seeds[i]` is all the randomness study i may use."""

    def stream(self, study: Study, settings: GenerationSettings, seed: int, on_text: OnText) -> Report:
        """As `generate` for one study, telling the text so far each time it has grown; what `on_text` raises ends it.

        A model that writes its text at once has nothing to tell before it returns.
        """
        (report,) = self.generate([study], settings, [seed])
        return report

    def looks(self, study: Study, text: str) -> Looks | None:
        """Where the decoder looks on the study's first view while it writes a text of its own; None where the model
        cannot tell. Raises UserError where the view cannot be read.
        """
        return None

    def features(self, studies: Sequence[Study]) -> np.ndarray | None:
        """By what the images of studies can be compared: float32 (n, width), zeros for a study whose image cannot be
        read; None for a model without such a thing.
        """
        return None

    def card(self) -> dict[str, Any]:
        """Facts for the run record, e.g. the number of parameters."""
        return {}


@dataclass(frozen=True)
class MetricContext:
    """What a metric may need beyond the texts."""

    encoder: str = ""
    """BERTScore's encoder: a folder or a hub id; empty takes what is at hand."""
    device: str = "cpu"
    extra: Mapping[str, Any] = field(default_factory=dict)


class Metric(ABC):
    """Turns pairs of texts into rows of additive statistics, and summed rows into values.

    Corpus values, intervals, paired tests and slices all follow from the one array of rows.
    """

    KEYS: ClassVar[tuple[str, ...]]
    """Names of the values, e.g. `("bleu_1", "bleu_2", "bleu_3", "bleu_4")`."""
    INPUT: ClassVar[str]
    """`tokens`: white-space separated tokens of the protocol's tokenizer; `text`: the text as it is."""
    HIGHER_IS_BETTER: ClassVar[bool] = True
    IN_DEFAULT: ClassVar[bool] = True
    """False for a metric that only those protocols use that name it."""
    FETCH: ClassVar[tuple[str, ...]] = ()
    """What it reads from the hub, by the names of `bench fetch`, where a protocol does not name another model."""
    PARALLEL: ClassVar[bool] = False
    """True where all cores work for it. Such a metric runs last, when what others started beside it is done."""

    def __init__(self, context: MetricContext = MetricContext()):
        self.context = context

    def warm_up(self) -> None:
        """Start, without waiting for it, what takes long to start. What is missing, `rows` says."""

    @property
    @abstractmethod
    def signature(self) -> str:
        """`key:value|key:value…`: everything that two numbers must share to be compared."""

    @abstractmethod
    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """Sufficient statistics, float64, one row a pair. An empty hypothesis has a row like any other.

        Raises Unavailable where a part it needs is not here.
        """

    @abstractmethod
    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Values by key from rows summed over studies: shape (..., columns) gives arrays of shape (...)."""


class Unavailable(Exception):
    """A metric cannot be computed here. The message is one sentence: what is missing and how to get it."""
