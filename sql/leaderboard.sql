-- Which method learns most from five interactions?
--
-- One score a method, the best first: its captured share after five interactions, from the few-shot results.  The score is
-- what persona_chart('leaderboard') draws; any table or view (method, score [, low, high]) of that name does, for example
-- one over a table of runs.
--
-- Needs: the table fewshot, which sql/adaptation.sql makes.

DROP VIEW IF EXISTS temp.leaderboard;
CREATE TEMP VIEW leaderboard AS
  SELECT method, captured_share AS score FROM fewshot WHERE interactions = 5 ORDER BY captured_share DESC;

SELECT method, round(score, 3) AS captured_share, persona_bar(score, 1, 30) AS bar FROM leaderboard;
