-- Who are the simulated users?
--
-- Declares the population of the paper's analyses (w ~ Dirichlet(alpha * 1), 1,000 users,
-- alpha 0.05, seed 0, drawn as numpy's RandomState(0).dirichlet draws them) and shows three of them.  A declaration
-- stores nothing: every row is computed from the arguments.
--
-- Needs: a table `responses` (its reward models are the positions of the weights).

DROP TABLE IF EXISTS users;
CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.05, seed=0);

SELECT u.user_id, m.name AS favourite_reward_model, round(max(w.value), 3) AS its_weight
FROM users u, json_each(persona_json(u.weights)) w JOIN reward_models m ON m.position = w.key + 1
WHERE u.user_id < 3
GROUP BY u.user_id;
