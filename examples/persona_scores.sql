-- A stand-in for persona prompting, to try sql/persona_prompting.sql with: twelve people, each put before the prompt, and the sum
-- of the ten text scores as the one judge.  The text scores read little of a prompt, so these people agree nearly always.
DROP TABLE IF EXISTS persona_scores;
CREATE TABLE persona_scores(persona_id INTEGER, response_id INTEGER, score REAL, PRIMARY KEY (persona_id, response_id)) WITHOUT ROWID;
INSERT INTO persona_scores
  WITH persona(persona_id, persona) AS (
    VALUES (1, 'I keep bees on a roof and sell the honey at the market on Saturdays.'),
           (2, 'I repair lifts; I like things that come as numbered steps, briefly.'),
           (3, 'I teach nine-year-olds and explain everything with a story.'),
           (4, 'I am a retired judge and want the reasons before the verdict.'),
           (5, 'I drive a night bus and read on my breaks, so keep it short.'),
           (6, 'I am training for my first marathon at sixty.'),
           (7, 'I run a bakery with my sister and plan every week on a list.'),
           (8, 'I write code for weather stations and want the numbers.'),
           (9, 'I look after my father and am tired in the evening.'),
           (10, 'I collect old maps and love the history behind a thing.'),
           (11, 'I play the double bass in a wedding band.'),
           (12, 'I study law and argue about everything with my flatmates.')
  )
  SELECT persona_id, response_id,
         persona_reward('[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]', style_rewards(persona || ' ' || p.text, r.text))
  FROM persona, responses r JOIN prompts p USING (prompt_id)
  WHERE p.split = 'test';
