-- What is still to be scored, by a reward server?
--
-- Prints one request line for each answer of the run that lacks a score of the reward model named by setting
-- reward_model: the prompt and the answer, for the /v1/score endpoint of vLLM and its batch mode.  (The reward model
-- judges the answer to the test prompt alone; it never sees the examples.)  The server's output file goes to
-- generation_scores.sql.  Servers with another interface: write their lines from this query's columns.
--
-- Needs: sql/generation_answers.sql, and setting reward_model, one of the names in reward_models.

SELECT json_object('custom_id', g.custom_id, 'method', 'POST', 'url', '/v1/score',
                   'body', json_object('model', s.reward_model, 'text_1', p.text, 'text_2', g.answer))
FROM generation_setting s JOIN generations g USING (run) JOIN prompts p USING (prompt_id)
WHERE g.answer IS NOT NULL AND s.reward_model <> ''
      AND NOT EXISTS (SELECT 1 FROM generation_scores x
                      WHERE x.run = g.run AND x.user_id = g.user_id AND x.name = s.reward_model)
ORDER BY g.user_id;
