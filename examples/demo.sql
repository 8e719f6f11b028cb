-- The whole benchmark on the bundled data: `make demo` runs this in the sqlite3 shell.
.bail on
.load build/personalllm
.mode box
.headers on
.print
.print 1. Load prompts, eight responses each, and ten scores per response
.read examples/load.sql
SELECT split, count(*) AS prompts FROM prompts GROUP BY split;
.print
.print 2. Declare 1,000 users with different tastes (sql/population.sql)
.read sql/population.sql
.print
.print 3. Do they agree? (sql/top_share.sql, sql/winners.sql; Figure 3 of the paper)
.read sql/top_share.sql
.read sql/winners.sql
.print
.print 4. Whom do they like? (sql/win_rates.sql)
.read sql/win_rates.sql
.print
.print 5. What does a user want, from 1, 3, 5 and 10 interactions? (sql/adaptation.sql)
.read sql/adaptation.sql
