"""The log in object storage: one table a topic, whose files hold records exactly as Kafka had them.

`rows` is the form of a file, `objects` the store, `table` what is committed, `sink` writes one partition, `past`
reads. What is done with an archive (proofs, compaction, tiers, SQL) is in `eventlog.upkeep`. Only these modules import
pyarrow, deltalake and boto3, and only where they are called: nobody else waits for them.
"""
