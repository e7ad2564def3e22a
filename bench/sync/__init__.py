"""One account of 100,000 records: how fast a sync stores it, beside what the machine allows and beside dlt."""
