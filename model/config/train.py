"""Section `train`: network, losses, association, augmentation and schedule."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from model.config.base import Count, Positive, Section, Seed, Share, Weight


class ResidualConfig(Section):
    """Which directions and levels of the exchange are on.

    `kind`: `cross` exchanges between the tasks; `self` feeds the same blocks with the task's own stream (a control
    for capacity); `cross_stitch` learns a linear mix of the two maps instead; `none` is hard sharing. The branches work
    with `channels` at the level of features, with `hidden` values at that of predictions.
    """

    kind: Literal["none", "cross", "self", "cross_stitch"]
    features_to_landmarks: bool
    features_to_expression: bool
    predictions_to_landmarks: bool
    predictions_to_expression: bool
    channels: Count
    hidden: Count


class NetConfig(Section):
    """`crop_scale`: side of the square crop over the longer side of the tight box; `width` multiplies channels.

    `trunk`: `residual` has the channels of `size`; `lite0` is EfficientNet-Lite0, which can start from ImageNet weights
    (`train.start_from`): there `size` decides the channels of the tasks' maps alone, and the trunk's norm is of the
    batch, `synced` where `norm` is `group`.
    With `mirror`, an answer is the mean of those about the crop and about its mirror image.
    """

    trunk: Literal["residual", "lite0"]
    size: Literal["nano", "small", "base"]
    input_size: Annotated[int, Field(ge=32, le=512, multiple_of=16)]
    crop_scale: Annotated[float, Field(ge=1, le=3)]
    width: Positive
    norm: Literal["group", "batch", "synced", "frozen"]
    dropout: Share
    tasks: Annotated[tuple[Literal["landmarks", "expression"], ...], Field(min_length=1)]
    aflw_head: bool
    mirror: bool
    residual: ResidualConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> "NetConfig":
        problems = []
        if len(set(self.tasks)) == 1 and self.residual.kind != "none":
            problems.append("residual.kind must be none where tasks holds one task")
        if self.aflw_head and "landmarks" not in self.tasks:
            problems.append("aflw_head needs landmarks among the tasks")
        if self.size == "base" and self.input_size % 32:
            problems.append(f"input_size {self.input_size} must be a multiple of 32 for size base")
        if self.trunk == "lite0" and self.input_size % 32:
            problems.append(f"input_size {self.input_size} must be a multiple of 32 for trunk lite0")
        if self.trunk == "lite0" and self.width != 1:
            problems.append(f"width {self.width} must be 1 for trunk lite0, whose channels are given")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class LossConfig(Section):
    """Only the ratio of the two task weights matters. `base_share` is the `b` in `(1-b) L(final) + b L(base)`.

    `wing_width` and `wing_curvature` shape the landmark loss, in crop units; `heatmap_sigma` is in cells of the map.
    Where a face has votes beside its label, they make up `vote_share` of what the expression head learns.
    """

    weighting: Literal["fixed", "uncertainty", "dwa", "famo"]
    landmark_weight: Weight
    expression_weight: Weight
    points19_weight: Weight
    base_share: Share
    heatmap_weight: Weight
    heatmap_sigma: Positive
    wing_width: Positive
    wing_curvature: Positive
    label_smoothing: Share
    vote_share: Share


class AssociationConfig(Section):
    """The map from face shape to expression, and the two losses by which unlabelled tasks learn.

    `noise` is in inter-ocular distances; both transfer losses start when the map beats chance by `start_margin` of
    macro-F1 held out, then grow over `ramp_epochs`. `pseudo_weight` belongs to the EMA teacher's pseudo labels, which
    count where the teacher is surer than `pseudo_confidence`; `pseudo_times_map` multiplies them by the map's answer.
    A point of a heat map as narrow as it is trained to be has a sureness of 0.62 at 64 pixels, 0.87 at 128: a larger
    `pseudo_confidence` takes no point.
    """

    learn_weight: Weight
    to_expression_weight: Weight
    to_landmarks_weight: Weight
    hidden: Count
    temperature: Positive
    noise: Share
    ema_decay: Share
    start_margin: Share
    ramp_epochs: Count
    pseudo_weight: Weight
    pseudo_confidence: Share
    pseudo_times_map: bool


class AugmentConfig(Section):
    """Ranges of random change: degrees, shares of the crop, probabilities.

    `cutmix` and `mixup` are the probabilities that a face with an expression and no points is mixed with another one.
    """

    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: Share
    shift: Share
    flip: Share
    brightness: Share
    contrast: Share
    grey: Share
    blur: Share
    noise: Share
    low_resolution: Share
    erase: Share
    cutmix: Share
    mixup: Share

    @model_validator(mode="after")
    def _one_mixture_a_face(self) -> "AugmentConfig":
        if self.cutmix + self.mixup > 1:
            raise ValueError(f"cutmix {self.cutmix} and mixup {self.mixup} add up to more than 1")
        return self


class BalanceConfig(Section):
    """Sampling of sources, and of classes within a labelled source: 1 draws them evenly, 0 by size."""

    sources: Share
    classes: Share


class TrainConfig(Section):
    """`batch_size` is global: it is divided over the processes.

    `steps_per_epoch` 0 means one pass over the training faces. `checkpoint_every` counts steps between checkpoints
    within an epoch (0: only at its end). `threads` is for the network's arithmetic in each process on CPU (0: torch's
    choice): a small network gains nothing by a second one, and collapses where another process wants its core.
    `precision` bf16 means fp32, with a warning, on a device without bf16 arithmetic, where it would be far slower.
    `max_bad_steps` non-finite steps in a row are skipped, one more is an error. `start_from` names a folder whose
    weights.safetensors gives the first values of the tensors that fit (empty: none).
    """

    epochs: Count
    batch_size: Count
    steps_per_epoch: Annotated[int, Field(ge=0)]
    lr: Positive
    weight_decay: Weight
    warmup_epochs: Weight
    grad_clip: Positive
    ema_decay: Share
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    threads: Annotated[int, Field(ge=0)]
    loader_workers: Annotated[int, Field(ge=0)]
    val_every: Count
    checkpoint_every: Annotated[int, Field(ge=0)]
    max_bad_steps: Annotated[int, Field(ge=0)]
    start_from: str
    net: NetConfig
    loss: LossConfig
    association: AssociationConfig
    augment: AugmentConfig
    balance: BalanceConfig


class TrainRun(Section):
    """All that decides which weights a training makes from given shards."""

    seed: Seed
    train: TrainConfig
