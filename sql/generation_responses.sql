-- How do the answers look as rows of a responses table?
--
-- Puts the run's fully scored answers into the table `generated`, one response each, so that everything that reads
-- responses reads them: persona_votes, persona_evaluate, persona_choices, persona_export.  model is the run's name,
-- positions count on within each prompt.  They go into a table of their own, as users would otherwise choose among
-- stored and generated responses alike.  Running it again replaces the run's rows.
--
-- Needs: sql/generation_answers.sql and scores; and generated, with the reward models of responses:
-- CREATE VIRTUAL TABLE generated USING persona_responses(beaver_7b, gemma_2b, ...).

DELETE FROM generated WHERE model = (SELECT run FROM generation_setting);
INSERT INTO generated(prompt_id, position, model, text, raw_rewards)
  SELECT prompt_id,
         coalesce((SELECT max(position) FROM generated h WHERE h.prompt_id = a.prompt_id), 0)
           + row_number() OVER (PARTITION BY prompt_id ORDER BY user_id), run, answer, raw_rewards
  FROM (SELECT g.*,
               (SELECT iif(count(*) = (SELECT count(*) FROM reward_models),
                           persona_vector(json_group_array(score)), NULL)
                FROM (SELECT x.score FROM reward_models m
                           JOIN generation_scores x ON x.run = g.run AND x.user_id = g.user_id AND x.name = m.name
                      ORDER BY m.position)) AS raw_rewards
        FROM generation_setting s JOIN generations g USING (run)) a
  WHERE raw_rewards IS NOT NULL;

SELECT model, count(*) AS responses FROM generated GROUP BY model;
