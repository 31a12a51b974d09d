#version 330
in vec3 in_position;
uniform mat4 to_light;

void main() {
    gl_Position = to_light * vec4(in_position, 1.0);
}
