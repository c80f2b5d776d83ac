"""English. Moments to the second and without a.m. and p.m., as in the log (UTC)."""

DATETIME_FORMAT = "Y-m-d H:i:s"
