"""The `mama-augment` command: one file per command, one line here for each."""

from __future__ import annotations

from mama_augment import __version__
from mama_augment.cli.balance import BalanceCommand
from mama_augment.cli.caption import CaptionCommand
from mama_augment.cli.concepts import ConceptsCommand
from mama_augment.cli.dataset import DatasetCommand
from mama_augment.cli.export import ExportCommand
from mama_augment.cli.features import FeaturesCommand
from mama_augment.cli.inspect import InspectCommand
from mama_augment.cli.keyframes import KeyframesCommand
from mama_augment.cli.pipeline import add_pipelines
from mama_augment.cli.plan import PlanCommand
from mama_augment.cli.regions import RegionsCommand
from mama_augment.cli.report import ReportCommand
from mama_augment.cli.review import ReviewCommand
from mama_augment.cli.score import ScoreCommand
from mama_augment.cli.shapes import ShapesCommand
from mama_augment.cli.status import StatusCommand
from mama_augment.cli.validate import ValidateCommand
from mama_augment.core.shared.options import Command, add_commands, make_app, run_program

CONFIGS = "mama_augment.configs"
COMMANDS: dict[str, type[Command]] = {
    "dataset": DatasetCommand,
    "keyframes": KeyframesCommand,
    "inspect": InspectCommand,
    "caption": CaptionCommand,
    "regions": RegionsCommand,
    "concepts": ConceptsCommand,
    "plan": PlanCommand,
    "features": FeaturesCommand,
    "score": ScoreCommand,
    "review": ReviewCommand,
    "balance": BalanceCommand,
    "export": ExportCommand,
    "report": ReportCommand,
    "validate": ValidateCommand,
    "status": StatusCommand,
    "shapes": ShapesCommand,
}

app = make_app(
    "mama-augment",
    "Turn a folder of videos into balanced, captioned training shards.",
    __version__,
)
add_commands(app, COMMANDS, configs=CONFIGS)
add_pipelines(app)


def main() -> None:
    """Entry point of `mama-augment`."""
    run_program(app)
