"""Manifests (csv, tsv, json, jsonl, parquet) as Arrow columns, within limits."""
