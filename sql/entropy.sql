-- Which prompts divide users?
--
-- Entropy of a prompt: -sum(p ln p) over the shares p of votes that its responses got, natural logarithm; 0 where all users
-- agree, ln 8 = 2.079 at most with eight responses.  Shown: its mean over the prompts with a keyword, and over all, beside
-- the paper's own (train split, 9,402 prompts, alpha 0.05).  imagine, opinion, poem and taste are looked for anywhere in
-- the lower-cased prompt; who, what, when and where are the first word, up to the first space.  A keyword that no
-- prompt has is left out.
--
-- This one SELECT is also what persona_chart('entropy') draws (the build puts it into the extension): keep it one
-- statement and its columns.  Parameters: :population (default users) and :split (default train); in the shell
-- `.parameter set :population my_users`, from elsewhere bind both (NULL is the default).
--
-- Needs: prompts, responses and the population; SQLite's ln().

WITH votes AS (
  SELECT prompt_id, 1.0 * best_votes / sum(best_votes) OVER (PARTITION BY prompt_id) AS p
  FROM persona_votes(coalesce(:population, 'users'), coalesce(:split, 'train'))
), entropy AS (
  SELECT prompt_id, lower(text) AS text, abs(sum(CASE WHEN p > 0 THEN p * ln(p) ELSE 0 END)) AS h
  FROM votes JOIN prompts USING (prompt_id)
  GROUP BY prompt_id
), keyword(keyword, first, published) AS (
  VALUES ('imagine', 0, 1.2758), ('opinion', 0, 1.2770), ('poem', 0, 1.2328), ('taste', 0, 1.3332), ('(all)', NULL, 1.1805),
         ('who', 1, 1.1118), ('what', 1, 1.1868), ('when', 1, 1.0091), ('where', 1, 1.0482)
)
SELECT keyword, count(h) AS prompts, round(avg(h), 4) AS mean_entropy, published
FROM keyword JOIN entropy
  ON CASE first WHEN 0 THEN instr(text, keyword) > 0 WHEN 1 THEN text = keyword OR text LIKE keyword || ' %' ELSE 1 END
GROUP BY keyword
ORDER BY first IS NULL, first, keyword;
