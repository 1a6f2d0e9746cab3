-- A reservation may lie inside another one, its envelope: what a job's processes reserve was declared with the job, and
-- must not be counted twice. No foreign key: an envelope may go first, and then its contents count by themselves.
ALTER TABLE reservation ADD COLUMN envelope INTEGER;
