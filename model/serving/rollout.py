"""Another model in the place of the running one, without a failed request."""

from pathlib import Path

from model.config import DeployConfig
from model.schema import Deployment
from model.serving import packaged, running, server, tokens
from model.serving.golden import golden_pictures
from model.serving.predictor import Predictor
from model.serving.server import Golden
from model.serving.settings import TOKEN_FILE
from model.serving.slot import close_slot, direct_client, sweep
from model.serving.switch import back_out, check_same, noting_refusal, running_settings, switch


def replace(
    config: DeployConfig, *, archive: Path, state: Path, report: Path, golden: Golden | None = None
) -> Deployment:
    """Serve another archive in the place of the running one, without a failed request; starts where nothing runs.

    A second TorchServe comes up beside the first and has to give the golden answers before it gets a request. Then the
    router sends it all that comes, and the first one, and a canary's challenger, end once they have answered what they
    were asked. Port, router and, where RMTL_ENDPOINT_TOKEN says no other, the client's token stay. For that time the
    model is in memory twice.

    Args:
        config, archive, state, report, golden: as for `start`.

    Raises:
        ConfigError: another port or another name of the model than the running one.
        CheckpointError: the archive is unsafe or unusable; the old version goes on.
        ServiceError: no readiness in time, other answers, or another update is under way; the old version goes on.
        FaceError: no Java.
    """
    with noting_refusal(state), packaged.unpacked(archive) as predictor, running.alone(state):
        if running.is_whole(state):
            _replace(config, predictor, archive=archive, state=state, golden=golden)
        else:
            running.end(state)
            server.begin(config, predictor, archive=archive, state=state, golden=golden)
        return server.write_report(report, state, model=archive.stem, version=predictor.model_version)


def _replace(config: DeployConfig, predictor: Predictor, *, archive: Path, state: Path, golden: Golden | None) -> None:
    settings, former, model = running_settings(state), running.slots(state), archive.stem
    token = (state / TOKEN_FILE).read_text().strip()
    check_same(settings, model)
    try:
        slot = server.come_up(config, archive, state)
        pictures = golden or golden_pictures(config.golden)
        server.compare(direct_client(slot, state, model), predictor, pictures)
        server.write_settings(config, state, slot, model=model, address=(settings.host, settings.port))
        tokens.write_tokens(state)
        switch(state)
    except BaseException:
        # On a full disk nothing was changed, and nothing could be written.
        if (state / TOKEN_FILE).read_text().strip() != token:
            tokens.write_token(state, token)
        back_out(state, settings, former)
        raise
    for old in former:
        close_slot(old)
    running.note_slots(state, [slot])
    sweep(state, keep=[slot.name])
