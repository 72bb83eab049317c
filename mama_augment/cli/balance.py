"""The commands `plan`, `balance`, `report` and `validate`."""

from __future__ import annotations

from typing import Annotated

import typer

from mama_augment.balance.keep import BalanceConfig, parse_cap
from mama_augment.budget.spend import TARGETS, BudgetConfig

Concepts = Annotated[
    str, typer.Option("--concepts", help="topics, vocabulary, embedding or given.")
]
NumConcepts = Annotated[
    int | None, typer.Option("--num-concepts", help="Topics (8), clusters or mined phrases.")
]
Vocabulary = Annotated[
    str | None,
    typer.Option("--vocabulary", help="Phrase file, one per line; without it, mined."),
]
ConceptColumn = Annotated[
    str | None, typer.Option("--concept-column", help="Clips column of labels or vectors.")
]
ConceptModel = Annotated[
    str | None,
    typer.Option("--concept-model", help="Reuse the `concept_model` folder of other shards."),
]


def plan(
    clips: Annotated[str, typer.Argument(help="Output of `keyframes`.")],
    budget: Annotated[int, typer.Option("--budget", help="Captions to spend.")],
    captions: Annotated[
        list[str] | None,
        typer.Argument(help="Outputs of `caption` that are there already; usually none."),
    ] = None,
    out: Annotated[str, typer.Option("--out", help="The plan to write.")] = "plan.parquet",
    target: Annotated[
        str,
        typer.Option("--target", help=f"Wanted shape of the histogram: {', '.join(TARGETS)}."),
    ] = BudgetConfig.target,
    cap: Annotated[
        float | None, typer.Option("--cap", help="capped: no concept is raised above it.")
    ] = None,
    max_per_clip: Annotated[
        int, typer.Option("--max-per-clip", help="New captions of one clip.")
    ] = BudgetConfig.max_per_clip,
    concepts: Concepts = "topics",
    num_concepts: NumConcepts = None,
    vocabulary: Vocabulary = None,
    concept_column: ConceptColumn = None,
    concept_model: ConceptModel = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of equals, and topics.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the forecast; write nothing.")
    ] = False,
) -> None:
    """Spend a budget of captions where concepts are rare; `caption --plan` follows the plan."""
    from mama_augment.cli.summary_balance import plan_with_summary
    from mama_augment.concepts import ConceptConfig

    plan_with_summary(
        clips,
        captions or [],
        ConceptConfig(
            assigner=concepts,
            num_concepts=num_concepts,
            vocabulary=vocabulary,
            column=concept_column,
            model=concept_model,
            seed=seed,
        ),
        BudgetConfig(
            num_captions=budget, target=target, cap=cap, max_per_clip=max_per_clip, seed=seed
        ),
        None if dry_run else out,
    )


def balance(
    clips: Annotated[str, typer.Argument(help="Output of `keyframes`.")],
    captions: Annotated[
        list[str] | None,
        typer.Argument(help="Outputs of `caption`; without any, only the texts given."),
    ] = None,
    out: Annotated[str, typer.Option("--out", help="Directory for the shards.")] = "shards",
    concepts: Concepts = "topics",
    num_concepts: NumConcepts = None,
    vocabulary: Vocabulary = None,
    concept_column: ConceptColumn = None,
    concept_model: ConceptModel = None,
    cap: Annotated[
        str,
        typer.Option("--cap", help="Texts per concept to thin towards: auto, none or a number."),
    ] = "auto",
    unmatched: Annotated[
        str, typer.Option("--unmatched", help="Texts that match no concept: keep or drop.")
    ] = "keep",
    max_captions_per_clip: Annotated[
        int | None, typer.Option("--max-captions-per-clip", help="Rarest concepts first.")
    ] = None,
    max_same_text: Annotated[
        int | None,
        typer.Option("--max-same-text", help="Keep N of the clips with near-identical texts."),
    ] = None,
    meta_size: Annotated[
        float | None,
        typer.Option("--meta-size", help="Rows, or a share of the trusted clips such as 0.05."),
    ] = None,
    val_size: Annotated[float | None, typer.Option("--val-size", help="As --meta-size.")] = None,
    test_size: Annotated[float | None, typer.Option("--test-size", help="As --meta-size.")] = None,
    stratify: Annotated[
        str, typer.Option("--stratify", help="Concepts in val and test: uniform or proportional.")
    ] = "uniform",
    shard_mb: Annotated[int, typer.Option("--shard-mb", help="About how large a shard is.")] = 256,
    seed: Annotated[int, typer.Option("--seed", help="Of draws, order and topics.")] = 0,
    workers: Annotated[int, typer.Option("--workers", help="Shards written at once.")] = 2,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard what --out holds.")
    ] = False,
) -> None:
    """Write concept-balanced training shards with train, meta, val and test splits."""
    from mama_augment.balance.splits import SplitSizes
    from mama_augment.balance.step import BalanceStep
    from mama_augment.cli.summary_balance import run_with_summary
    from mama_augment.concepts import ConceptConfig
    from mama_augment.runtime import RuntimeConfig

    step = BalanceStep(
        concepts=ConceptConfig(
            assigner=concepts,
            num_concepts=num_concepts,
            vocabulary=vocabulary,
            column=concept_column,
            model=concept_model,
            seed=seed,
        ),
        balance=BalanceConfig(
            cap=parse_cap(cap),
            unmatched=unmatched,
            max_captions_per_clip=max_captions_per_clip,
            max_same_text=max_same_text,
            seed=seed,
        ),
        sizes=SplitSizes(meta=meta_size, val=val_size, test=test_size, stratify=stratify),
        shard_mb=shard_mb,
    )
    ledger = run_with_summary(
        clips, captions or [], out, step, RuntimeConfig(num_workers=workers), overwrite=overwrite
    )
    raise typer.Exit(ledger.exit_code)


def report(
    directories: Annotated[
        list[str],
        typer.Argument(help="Outputs of keyframes, caption (any number) and balance, any order."),
    ],
    out: Annotated[str, typer.Option("--out", help="The HTML file to write.")] = "report.html",
) -> None:
    """Write one self-contained HTML page about a training set: flow, concepts, samples, ledger."""
    from mama_augment.cli.summary import console
    from mama_augment.people.report.build import build_report, sort_directories

    clips, captions, shards = sort_directories(directories)
    path = build_report(out, clips, captions, shards)
    console.print(f"report: {path}", highlight=False, soft_wrap=True)


def validate(
    shards: Annotated[str, typer.Argument(help="Output of `balance`.")],
    clips: Annotated[
        str | None,
        typer.Option("--clips", help="Output of `keyframes`: compare splits by video too."),
    ] = None,
    num_decoded: Annotated[
        int, typer.Option("--num-decoded", help="About how many rows have their frames decoded.")
    ] = 200,
) -> None:
    """Check shards before training: files, schema, rows, pictures, and that splits are apart."""
    from mama_augment.cli.summary import console, error_console
    from mama_augment.people.validate import validate as check

    result = check(shards, clips=clips, num_decoded=num_decoded)
    rows = ", ".join(f"{split} {n:,}" for split, n in result.num_rows.items())
    console.print(
        f"rows: {rows}; captions: {result.num_captions:,}; frames decoded: "
        f"{result.num_decoded_frames:,}; splits compared by {'video' if clips else 'clip'}",
        highlight=False,
        soft_wrap=True,
    )
    for problem in result.problems:
        error_console.print(f"[red]problem:[/red] {problem}", highlight=False, soft_wrap=True)
    if result.num_problems > len(result.problems):
        error_console.print(f"… and {result.num_problems - len(result.problems):,} more")
    console.print("valid" if not result.num_problems else f"{result.num_problems:,} problems")
    raise typer.Exit(1 if result.num_problems else 0)
