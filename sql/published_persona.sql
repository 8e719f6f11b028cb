-- Is this the published benchmark's population?
--
-- The first user of the published evaluation sets (June 2024: seed 2020, alpha 0.01), to the last printed digit.  The published
-- weight of its favourite reward model is 0.999998558383371.
--
-- Needs: nothing.

DROP TABLE IF EXISTS temp.published_users;
CREATE VIRTUAL TABLE temp.published_users USING persona_users(count=1000, alpha=0.01, seed=2020,
  models=[beaver_7b, gemma_2b, gemma_7b, llama3_sfairx, mistral_raft, mistral_ray, mistral_weqweasdas,
          oasst_deberta_v3, oasst_pythia_1b, oasst_pythia_7b]);
SELECT printf('%.15f', beaver_7b) AS beaver_7b, gemma_2b, gemma_7b, oasst_pythia_7b
FROM published_users WHERE user_id = 0;
