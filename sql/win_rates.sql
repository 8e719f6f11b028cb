-- Which model's responses do users like best?
--
-- Figure 3 (right) of the paper: each model's share of all (user, prompt) votes for the best response.
--
-- This one SELECT is also what persona_chart('win_rates') draws (the build puts it into the extension): keep it one
-- statement and its columns.  Parameters: :population (default users) and :split (default test); in the shell
-- `.parameter set :population my_users`, from elsewhere bind both (NULL is the default).
--
-- Needs: prompts, responses and the population.

WITH votes AS (
  SELECT r.model, sum(v.best_votes) AS best, sum(v.worst_votes) AS worst
  FROM persona_votes(coalesce(:population, 'users'), coalesce(:split, 'test')) v JOIN responses r USING (response_id)
  GROUP BY r.model
)
SELECT model, round(100.0 * best / (SELECT sum(best) FROM votes), 1) AS best_percent,
       round(100.0 * worst / (SELECT sum(worst) FROM votes), 1) AS worst_percent,
       persona_bar(best, (SELECT sum(best) FROM votes), 30) AS best_bar
FROM votes
ORDER BY best DESC;
