-- The reward models, in the order of every weight and reward vector.
SELECT position, name, mean, sd FROM reward_models ORDER BY position;
