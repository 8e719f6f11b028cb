-- Whose opinions do the simulated users hold?
--
-- The paper's OpinionQA table: representativeness of the simulated population for people overall and by group, 1 - mean over
-- questions of the Wasserstein distance between the answers' distributions, divided by the largest possible one.
--
-- How does a simulated user answer?
--   vote by rank    the paper: each reward model picks its highest-scoring option, at its place between the first (0) and the last
--                   option (1), rounded to three decimals; a user's opinion is the weighted mean of these places, and the vote goes to
--                   the nearest option.  So a user torn between the extremes votes for the middle.
--   vote by reward  as everywhere else: for the option with the largest weighted reward, the rewards normalised over all options here.
-- And what is the largest distance?
--   coded divisor   the paper: number of options - 1; too large where ordinals are not 1, 2, 3, ... (for 1, 2, 1.5 twice)
--   true divisor    largest - smallest ordinal
--
-- as_published combines vote by rank and coded divisor; honest combines vote by reward and true divisor.  The last column compares
-- people with people: each group with people overall, by the true divisor.
--
-- Needs: opinion_option and opinion_people (sql/opinions_import.sql), users (with as many weights as the options have rewards);
-- published (sql/published.sql).  Keeps: temp.opinion_votes, temp.representativeness.

-- Rewards as long rows, normalised by reward model over all options; the places of the paper.
DROP TABLE IF EXISTS temp.opinion_score;
CREATE TEMP TABLE opinion_score AS
  WITH raw AS (
    SELECT question_id, position, ordinal, j.key AS model, j.value AS reward FROM opinion_option, json_each(rewards) j
  ), scale AS (
    SELECT model, avg(reward) AS mean, sqrt(max(avg(reward * reward) - avg(reward) * avg(reward), 0)) AS sd FROM raw GROUP BY model
  )
  SELECT question_id, position, model, reward, CASE WHEN sd > 0 THEN (reward - mean) / sd ELSE 0.0 END AS z,
         round((ordinal - min(ordinal) OVER q) / (max(ordinal) OVER q - min(ordinal) OVER q), 3) AS place
  FROM raw JOIN scale USING (model)
  WINDOW q AS (PARTITION BY question_id);

DROP TABLE IF EXISTS temp.opinion_votes;
CREATE TEMP TABLE opinion_votes(
  vote TEXT, question_id INTEGER, position INTEGER, votes INTEGER, PRIMARY KEY (vote, question_id, position)) WITHOUT ROWID;

-- Vote by reward.
INSERT INTO opinion_votes
  WITH option AS MATERIALIZED (
    SELECT question_id, position, persona_vector(json_group_array(z)) AS rewards
    FROM (SELECT * FROM opinion_score ORDER BY question_id, position, model)
    GROUP BY question_id, position
  ), ranked AS (
    SELECT question_id, position,
           row_number() OVER (PARTITION BY user_id, question_id ORDER BY persona_reward(weights, rewards) DESC, position) AS rank
    FROM users JOIN option
    WHERE weights IS NOT NULL
  )
  SELECT 'by reward', question_id, position, count(*) FROM ranked WHERE rank = 1 GROUP BY question_id, position;

-- Vote by rank.
INSERT INTO opinion_votes
  WITH top AS (
    SELECT question_id, model, place,
           row_number() OVER (PARTITION BY question_id, model ORDER BY reward DESC, position) AS rank
    FROM opinion_score
  ), question AS MATERIALIZED (
    SELECT question_id, persona_vector(json_group_array(place)) AS places
    FROM (SELECT * FROM top WHERE rank = 1 ORDER BY question_id, model)
    GROUP BY question_id
  ), option AS MATERIALIZED (
    SELECT question_id, position, max(place) AS place FROM opinion_score GROUP BY question_id, position
  ), ranked AS (
    SELECT question_id, position,
           row_number() OVER (PARTITION BY user_id, question_id ORDER BY abs(place - persona_reward(weights, places)), position) AS rank
    FROM users JOIN question JOIN option USING (question_id)
    WHERE weights IS NOT NULL
  )
  SELECT 'by rank', question_id, position, count(*) FROM ranked WHERE rank = 1 GROUP BY question_id, position;

DROP TABLE IF EXISTS temp.representativeness;
CREATE TEMP TABLE representativeness AS
  WITH answer(answer) AS (VALUES ('by rank'), ('by reward'), ('people overall')), known AS (
    SELECT DISTINCT people, question_id FROM opinion_people
  ), distance AS (
    SELECT answer, k.people, k.question_id, count(*) - 1 AS coded, max(ordinal) - min(ordinal) AS largest,
           wasserstein(ordinal, h.share, CASE answer WHEN 'people overall' THEN o.share ELSE v.votes END) AS distance
    FROM answer JOIN known k JOIN opinion_option a ON a.question_id = k.question_id
    LEFT JOIN opinion_people h ON h.people = k.people AND h.question_id = a.question_id AND h.position = a.position
    LEFT JOIN opinion_people o ON o.people = 'overall' AND o.question_id = a.question_id AND o.position = a.position
    LEFT JOIN opinion_votes v ON v.vote = answer AND v.question_id = a.question_id AND v.position = a.position
    GROUP BY answer, k.people, k.question_id
  )
  SELECT people, answer, count(distance) AS questions, 1 - avg(distance / coded) AS coded_divisor, 1 - avg(distance / largest) AS true_divisor
  FROM distance
  GROUP BY people, answer;

SELECT people, max(questions) AS questions, round(max(coded_divisor) FILTER (WHERE answer = 'by rank'), 3) AS as_published,
       round(max(true_divisor) FILTER (WHERE answer = 'by rank'), 3) AS rank_true_divisor,
       round(max(coded_divisor) FILTER (WHERE answer = 'by reward'), 3) AS reward_coded_divisor,
       round(max(true_divisor) FILTER (WHERE answer = 'by reward'), 3) AS honest,
       (SELECT value FROM published p WHERE p.query = 'opinions' AND p.series = 'PersonalLLM' AND p.item = people) AS published,
       round(max(true_divisor) FILTER (WHERE answer = 'people overall' AND people <> 'overall'), 3) AS people_overall
FROM representativeness
GROUP BY people
ORDER BY people <> 'overall', people;
