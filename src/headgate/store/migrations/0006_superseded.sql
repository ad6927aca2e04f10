-- For what is held of a partition that was made again.
CREATE INDEX attempt_failed_partition ON attempt (dataset, key) WHERE state = 'failed';
