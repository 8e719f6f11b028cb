-- How many different responses are somebody's favourite?
--
-- Figure 3 (middle) of the paper, with exact counts: the number of responses of a prompt that got at least one vote.  (The
-- published bins drop the prompts with one winner and are labelled one too low; these are not.)
--
-- This one SELECT is also what persona_chart('winners') draws (the build puts it into the extension): keep it one
-- statement and its columns.  Parameters: :population (default users) and :split (default test); in the shell
-- `.parameter set :population my_users`, from elsewhere bind both (NULL is the default).
--
-- Needs: prompts, responses and the population.

WITH RECURSIVE counted AS (
  SELECT prompt_id, sum(best_votes > 0) AS winners, count(*) AS responses
  FROM persona_votes(coalesce(:population, 'users'), coalesce(:split, 'test'))
  GROUP BY prompt_id
), possible(winners) AS (
  SELECT 1 UNION ALL SELECT winners + 1 FROM possible WHERE winners < (SELECT max(responses) FROM counted)
)
SELECT p.winners AS different_winners, count(prompt_id) AS prompts,
       round(1.0 * count(prompt_id) / (SELECT count(*) FROM counted), 3) AS share,
       persona_bar(count(prompt_id), (SELECT count(*) FROM counted), 30) AS bar
FROM possible p LEFT JOIN counted USING (winners)
GROUP BY p.winners
ORDER BY p.winners;
