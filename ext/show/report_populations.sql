-- The populations that are declared.
SELECT name AS population, substr(sql, instr(lower(sql), 'persona_users')) AS declaration
FROM (SELECT name, sql, 0 AS t FROM sqlite_schema UNION ALL SELECT name, sql, 1 FROM sqlite_temp_schema)
WHERE lower(sql) LIKE 'create virtual table%persona\_users%' ESCAPE '\'
ORDER BY t, name;
