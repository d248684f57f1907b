"""What is done with an archive: proved, compacted, moved between tiers, asked in SQL, brought back."""
