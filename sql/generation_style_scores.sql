-- How do the answers score where style_rewards stands in for reward models?
--
-- Scores every answer of the run by style_rewards(prompt, answer), as the demo data is scored.  Only for a table
-- whose reward models are these ten; elsewhere it adds nothing.
--
-- Needs: sql/generation_answers.sql.

INSERT INTO generation_scores
  SELECT g.run, g.user_id, m.name, j.value, 'style_rewards ' || persona_version(), 1, 'float64'
  FROM generation_setting s JOIN generations g USING (run) JOIN prompts p USING (prompt_id),
       json_each(style_reward_names()) n
       JOIN json_each(persona_json(style_rewards(p.text, g.answer))) j ON j.key = n.key
       JOIN reward_models m ON m.name = n.value COLLATE NOCASE
  WHERE g.answer IS NOT NULL AND (SELECT count(*) FROM reward_models) = json_array_length(style_reward_names())
  ON CONFLICT DO UPDATE SET score = excluded.score, scorer = excluded.scorer, batch_size = excluded.batch_size,
                            precision = excluded.precision;

SELECT c.* FROM generation_coverage c JOIN generation_setting s USING (run);
