-- When reports were found missing, or time was found of which nothing is known, the last time.
alter table report_series add column gap_at timestamptz;
create index report_series_gaps on report_series (gap_at) where gap_at is not null;
-- The audit is asked by subject and by time too.
create index audit_by_subject on audit (subject, sequence);
create index audit_by_time on audit (at);
