"""Sections `evaluate`, `register`, `package` and `deploy`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from model.config.base import Count, Positive, Section, Share


class EvaluateConfig(Section):
    """`bootstrap` counts the resamples of an interval.

    `interval` is the coverage of intervals, `thresholds` those of failure rate and area, as shares of the normaliser;
    `yaw_bins` (degrees) and `size_bins` (longer side of the box in pixels) are the inner edges of slices;
    `visible_only` scores the visible ones of the 19 points alone; `drawn` counts the faces on the sheet.
    """

    split: Literal["val", "test"]
    batch_size: Count
    bootstrap: Count
    interval: Annotated[float, Field(gt=0, lt=1)]
    thresholds: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)]
    yaw_bins: tuple[Annotated[float, Field(gt=0, lt=90)], ...]
    size_bins: tuple[Positive, ...]
    visible_only: bool
    drawn: Annotated[int, Field(ge=0)]

    @field_validator("yaw_bins", "size_bins")
    @classmethod
    def _edges_rise(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if list(edges) != sorted(set(edges)):
            raise ValueError("edges must rise")
        return edges


class GateConfig(Section):
    """Thresholds in percent on the mean, and the largest loss against the champion on the mean and on each slice.

    NME losses are relative, F1 losses are points. By `simple_nme_gain` (relative) and `simple_f1_gain` (points, or half
    the way to 100) a network must be better than the simple model of its evaluation. A slice with fewer than
    `min_slice` faces is reported, not judged; a threshold or gain of null leaves out a task that the data or the net
    does not have. `approval` names people, one of whom has to approve each promotion; where it is empty, the numbers
    alone decide.
    """

    max_nme: Positive | None
    min_macro_f1: Annotated[float, Field(ge=0, le=100)] | None
    simple_nme_gain: Share | None
    simple_f1_gain: Annotated[float, Field(ge=0, le=100)] | None
    max_nme_loss: Share
    max_f1_loss: Annotated[float, Field(ge=0, le=100)]
    max_slice_nme_loss: Share
    max_slice_f1_loss: Annotated[float, Field(ge=0, le=100)]
    min_slice: Count
    approval: tuple[Annotated[str, Field(pattern=r"^[\w.@+-][\w.@+ -]{0,63}$")], ...]


class RegisterConfig(Section):
    """Name in the registry, and what a version must reach."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    experiment: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    gate: GateConfig


class PackageConfig(Section):
    """Name of the archive, how the server runs it, and what one request may hold.

    `threads` are those of one worker; `max_faces` bounds the boxes given for one picture.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    workers: Count
    threads: Count
    batch_size: Count
    max_batch_delay_ms: Annotated[int, Field(ge=0)]
    response_timeout_s: Count
    max_pixels: Count
    max_pictures: Count
    max_faces: Count


class CanaryConfig(Section):
    """What a challenger must keep to while it answers a share of the requests; beyond it, it gets none any more.

    `shadow` is the share of requests that both sides answer, whose answers are compared. Each rate is judged once
    `min_requests` stand behind it: requests given to the challenger for `max_error_rate`, requests compared for
    `max_disagreement` (share of faces whose top expression differs, or that one side alone finds) and
    `max_point_difference` (mean distance of the points, as a share of the square root of the box's area).
    """

    min_requests: Count
    max_error_rate: Share
    max_disagreement: Share
    max_point_difference: Positive
    shadow: Share


class DeployConfig(Section):
    """Limits of the endpoint, and the number of golden answers checked before it counts as running.

    Requests beyond `max_in_flight` are told to come back after `retry_after_s`.
    """

    max_body_mb: Count
    max_in_flight: Count
    retry_after_s: Count
    golden: Count
    startup_s: Count
    canary: CanaryConfig
